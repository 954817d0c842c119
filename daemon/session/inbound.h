// One inbound connection: moves bytes between the socket, the TLS stream and the SMTP machine, and carries out what the
// machine asks for. It decides nothing about the protocol.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/shared_view.h"
#include "daemon/session/backends.h"
#include "daemon/session/budget.h"
#include "daemon/session/counters.h"
#include "daemon/session/handshake.h"
#include "daemon/session/harvest_table.h"
#include "daemon/session/ids.h"
#include "daemon/session/journal.h"
#include "daemon/session/relaying.h"
#include "daemon/session/reverse_dns.h"
#include "daemon/session/session_score.h"
#include "daemon/session/settings.h"
#include "daemon/session/transaction.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "daemon/uv/work_pool.h"
#include "observe/event.h"
#include "smtp/server_session.h"
#include "tls/stream.h"

namespace postern::session {

using SessionId = std::uint64_t;

class Inbound;

/// Finds a session that may be gone by the time a late answer comes (conventions: late results carry ids).
class SessionDirectory {
 public:
  virtual ~SessionDirectory() = default;
  virtual Inbound* find(SessionId id) = 0;
  /// The client is not the peer but `to`, for whom somebody speaks that is trusted: counted under its address from now
  /// on. False when a limit forbids it; it is then still counted as before.
  virtual bool readdress(const IpAddress& from, const IpAddress& to) = 0;
  /// The session's socket is closed: it may be destroyed now, and will be.
  virtual void closed(SessionId id) = 0;
};

/// What the sessions of a worker share; outlives them all.
struct InboundServices {
  uv::Loop& loop;
  uv::WorkPool& spill_pool;
  MessageBudgets& budgets;
  HandshakeServices& handshakes;
  View<RunSettings>& settings;
  View<TlsGeneration>& tls;
  Backends& backends;
  RelayBackends& relay_backends;
  delivery::Ledger& ledger;
  HarvestTable& harvest;
  ReverseDns& reverse_dns;
  ScoreServices& scores;
  Journal& journal;
  Counters& counters;
  IdSource& ids;
  SessionDirectory& directory;
};

/// One open session, for who looks.
struct SessionView {
  observe::SessionRecord record;  ///< so far
  std::string_view doing;         ///< "handshake", "idle", "transaction", "delivery", "closing"
};
/// Whether `text` occurs in what `postern sessions` shows of it.
bool mentions(const SessionView& view, std::string_view text);

class Inbound : private uv::SocketHandler {
 public:
  /// Takes over an accepted descriptor; `listener` is the address it was accepted at.
  Inbound(InboundServices& services, SessionId id, int descriptor, const Endpoint& listener);
  ~Inbound() override;
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;

  const IpAddress& peer_address() const { return peer_.address; }
  SessionView view() const;

  /// 421 between transactions; inside one, or during a handshake, as soon as it has ended.
  void shut_down();
  /// The time for shut_down() is over: closed now, unless a message is past its dot.
  void close_unless_awaiting_outcome();

 private:
  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_end() override;
  void on_failure(const Error& error) override;
  void on_closed() override;

  // inbound_proxy.cpp: who the client is, when somebody trusted says so
  void await_proxy_header();
  void read_proxy_header(std::string_view bytes);
  void believe(const proxy::Header& header);
  bool readdress(const Endpoint& client);
  bool may_name_clients() const;
  void handle(const smtp::IdentityOffered& event);
  void believe(const proxy::ClientIdentity& identity);

  void begin();
  void ask_for_name();
  void named(const ClientDnsName& name);
  void start_smtp(smtp::TlsState tls);
  void start_session(std::optional<smtp::Reply> greeting);
  std::string name_over_tls() const;
  void start_tls();
  smtp::Extensions extensions() const;

  void pump();
  bool handle_smtp_events();
  bool make_room_for_replies();
  bool tell_end_of_input();
  bool handle_one_stream_event();
  Later pool_done();
  void complete_handshake(const Completion& complete);
  bool wants_input() const;
  void handle(const smtp::SenderOffered& event);
  void handle(const smtp::RecipientOffered& event);
  void handle(const smtp::CommandRefused& event);
  void handle(const smtp::CommandOffered& event);
  void handle(const smtp::BodyOffered& event);
  void handle(const smtp::BodyChunk& event);
  void handle(const smtp::ChunkComplete& event);
  void handle(const smtp::MessageComplete& event);
  void handle(const smtp::TransactionEnded& event);
  void handle(const smtp::TlsRequested& event);
  void handle(const smtp::SessionClosing& event);
  void handle(const tls::Established& event);
  void handle(const tls::Plaintext& event);
  void handle(const tls::PeerClosed& event);
  void handle(const tls::TlsFailed& event);
  void handle(const tls::NeedsCredential& event);

  enum class Phase { Talking, Closing };
  enum class Received { Surely, Perhaps };  // our reply, by the client
  // Commands of one session whose refusal is told one by one: a client decides how many there are.
  static constexpr std::size_t refusals_told_max = 100;

  // inbound_relay.cpp
  const delivery::BackendSettings* session_backend(const RunSettings& settings) const;
  smtp::Authority authority(const RunSettings& settings) const;
  RelayedClient relayed_client() const;
  void start_relaying(std::shared_ptr<const RunSettings> settings, smtp::TlsState tls);
  void reroute_after_tls(std::shared_ptr<const RunSettings> settings);
  bool handle_relay_action();
  void handle(const relay::Answer& action);
  void handle(const relay::AnswerHello& action);
  void handle(const relay::Greet& action);
  void handle(const relay::Trouble& action);
  void handle(const relay::Connect&) {}     // what Relaying
  void handle(const relay::Disconnect&) {}  // keeps
  void handle(const relay::Learnt&) {}      // to itself
  void relay_text(const smtp::BodyChunk& chunk);
  void relay_end(const smtp::MessageComplete& event);

  std::shared_ptr<Transaction> new_transaction(const smtp::ReversePath& from, const smtp::MailParameters& parameters);
  bool writes_received_field() const;
  std::string received_field() const;
  std::optional<smtp::Reply> may_name_recipients();
  void recipient_checked(smtp::EventNumber number, const smtp::ForwardPath& asked,
                         const smtp::RecipientParameters& parameters, const Checked& checked);
  void message_written(smtp::EventNumber number, smtp::OutcomeForm form, const Result<void>& written);
  void outcome_known(smtp::EventNumber number, const delivery::EachAndOverall& outcome);
  void settle_reply(Received received);
  void record_handshake();
  void flush();
  void flush_replies();
  void flush_records();
  void transmit(std::string bytes);
  void update_reading();
  void rearm_timer();
  void on_timer();
  /// Says what is left to say first.
  void close_politely(std::string outcome);
  void close_now(std::string outcome);
  void end(std::string outcome);
  observe::RecipientRecord transaction_facts();
  observe::RecipientRecord session_facts() const;
  void finish_record();


  InboundServices& services_;
  const SessionId id_;
  std::unique_ptr<uv::Socket> socket_;
  Endpoint peer_;
  Endpoint listener_;
  Phase phase_ = Phase::Talking;
  bool pumping_ = false;
  bool reading_ = false;
  bool shutting_down_ = false;
  std::size_t refusals_ = 0;     // of commands, by the SMTP machine
  bool turned_away_ = false;     // has its 421: what it sends is not read any more
  std::size_t checks_open_ = 0;  // of recipients
  bool peer_ended_ = false;
  bool handshake_in_pool_ = false;           // a pool works for the handshake: nothing is read meanwhile
  bool end_told_ = false;                    // to smtp_: all that the peer sent has been read
  std::string hostname_;                     // what we call ourselves in this session
  std::unique_ptr<tls::Stream> stream_;      // once TLS has begun
  std::optional<smtp::ServerSession> smtp_;  // from the start; with implicit TLS, since the handshake
  std::shared_ptr<Transaction> transaction_;
  std::shared_ptr<Transaction> answered_;    // the one before, until we know that the client has had its final reply
  smtp::TlsState tls_state_ = smtp::TlsState::Unavailable;
  std::unique_ptr<Relaying> relaying_;       // where an MTA behind us decides
  std::optional<ClientDnsName> dns_name_;    // absent: DNS is being asked
  std::optional<smtp::BodyOffered> body_waiting_for_name_;
  std::shared_ptr<SessionScore> score_;      // null: nothing is counted
  struct RelayedRecipient {
    smtp::EventNumber number;
    smtp::ForwardPath to;
    std::shared_ptr<Transaction> transaction;
  };
  std::vector<RelayedRecipient> relayed_recipients_;  // without an answer yet
  struct RelayedOutcome {
    smtp::EventNumber number;
    std::uint64_t octets;
  };
  std::optional<RelayedOutcome> relayed_outcome_;     // the same of a message
  std::optional<Instant> handshake_deadline_;
  std::optional<Instant> proxy_deadline_;    // while the PROXY header has not come
  std::string proxy_input_;
  std::optional<proxy::ClientIdentity> forwarded_;  // for whom the peer forwards, by XFORWARD, in the next transaction
  Instant accepted_at_;
  Instant handshake_began_{};
  uv::Timer timer_;
  observe::SessionRecord record_;
};

}  // namespace postern::session
