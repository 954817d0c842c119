// Pass-through: a client's session and a backend's connection, back to back, without I/O.
//
//   relay.handle(event, now)            events of the client's ServerSession (Authority::Backend)
//   relay.connected() receive() ...     what becomes of the connection that Connect asked for
//   while (auto action = relay.next())  what the caller has to do
//   send(relay.take_output());          octets for the backend
//
// Theory. The backend decides; this machine only keeps the two sides together. There is one link to a backend at most:
//
//   None ──Connect──▶ Opening ──greeted──▶ Hello ──EHLO answered──▶ Open
//     ▲                  │                   │                       │
//     └──────────────────┴─── failed, left, abandoned ───────────────┘
//
// What the client says while the link comes to be waits, and leaves as one batch once it is open. A new link gets the
// client's own EHLO, replayed. Late: the first MAIL opens the link when the listener or the SNI have decided on the backend, the first
// RCPT when the recipient does; then MAIL, which was answered here, is replayed in front of it. Early: begin() asks for
// it, and the client's greeting is the backend's; it is open with that, and nothing is replayed.
//
// Every command that the ServerSession has offered is answered once: by the backend, or by `fate_` when there is none.
// `fate_` is what became of the transaction for good (the backend refused MAIL, or was lost in the middle): whatever
// belongs to this transaction gets that reply, until MAIL, RSET or EHLO begin anew.
//
// A text that cannot be completed must never look complete to the backend: its link is cut without a dot, without LAST, and
// without QUIT. What comes of it from the client is then thrown away.
//
// What must stay out: sockets, clocks, names of hosts, which recipients go where.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "relay/backend_session.h"
#include "relay/offers.h"
#include "smtp/dot_stuffing.h"
#include "smtp/reply.h"
#include "smtp/server_session.h"

namespace postern::relay {

enum class Timing { Late, Early };

struct RelayOptions {
  Timing timing = Timing::Late;
  std::optional<std::string> backend;  ///< nothing: each transaction's first recipient decides
  OfferPolicy policy;
  Offers offers;         ///< what EHLO is answered with before a backend was asked
  std::string hostname;  ///< ours, in the EHLO answer
};

/// Connect to a target of `backend`, then call connected() or, when there is no further target, connect_failed().
/// `attempt` counts from 0: each has its own target.
struct Connect {
  std::string backend;
  std::size_t attempt;
};

/// Send `last_words` and close.
struct Disconnect {
  std::string last_words;  ///< QUIT; empty: at once, and what the socket has not sent yet need not leave
};

/// For the client's ServerSession.
struct Answer {
  smtp::EventNumber number;
  smtp::Reply reply;
};

/// The answer to EHLO or HELO; `passing` is to be told to the session first.
struct AnswerHello {
  smtp::EventNumber number;
  smtp::Reply reply;
  smtp::Passing passing;
};

/// Early: the client may be greeted now. When it is no 220, the session ends with it.
struct Greet {
  smtp::Reply greeting;
};

/// What the backend offers, as its EHLO answer has just said.
struct Learnt {
  std::string backend;
  Offers offers;
};

/// For the log.
struct Trouble {
  std::string backend;
  std::string text;
};

using Action = std::variant<Connect, Disconnect, Answer, AnswerHello, Greet, Learnt, Trouble>;

/// Where the recipient decides: the backend, or the refusal.
using Route = tl::expected<std::string, smtp::Reply>;

class Relay {
 public:
  explicit Relay(RelayOptions options) : options_(std::move(options)) {}

  /// Early: asks for the connection. Late: nothing.
  void begin();

  /// The client is to be greeted with the backend's greeting (Greet), and has not been yet.
  bool greets_client() const { return options_.timing == Timing::Early && options_.backend && !client_greeted_; }

  /// `route` is read for RCPT only, and only when options.backend does not decide.
  void handle(const smtp::CommandOffered& event, const Route* route, Instant now);
  void handle(const smtp::BodyOffered& event, Instant now);
  void handle(const smtp::BodyChunk& event, Instant now);
  void handle(const smtp::ChunkComplete& event, Instant now);
  void handle(const smtp::MessageComplete& event, Instant now);
  void handle(const smtp::TransactionEnded& event, Instant now);

  /// True before the first octet of a message: handle() a BodyChunk of our own now to put something in front of it.
  bool before_text() const { return text_ == Text::None || text_ == Text::Announced; }

  /// STARTTLS has succeeded: what was learnt in clear is forgotten. `link` says whether the connection may stay.
  enum class Link { Keep, Renew };
  void tls_started(RelayOptions options, Link link);

  /// The client is gone, or was told that it must go.
  void leave();

  // The connection that Connect has asked for.
  void connected(BackendOptions options, Instant now);
  /// No target is left to be tried.
  void connect_failed(std::string_view why, Instant now);
  void receive(std::string_view bytes, Instant now);
  void connection_lost(std::string reason, Instant now);
  std::string take_output();

  std::optional<Action> next();

  /// So much waits for the backend that the client should not be read for now. `unsent` is what its socket holds.
  bool congested(std::size_t unsent) const;

  /// The backend of the link, or of the last one; empty when there was none.
  const std::string& backend() const { return backend_; }

  std::optional<Instant> deadline() const;
  void expire(Instant now);

 private:
  enum class LinkState { None, Opening, Hello, Open };
  /// How far the text of a message has come.
  enum class Text { None, Announced, Dots, Chunks };
  /// A command that waits for the link, or (BDAT) a piece of text behind its command.
  struct Waiting {
    std::string line;
    Asked asked;
    std::string text;
  };

  void handle_mail(const smtp::CommandOffered& event, Instant now);
  void handle_recipient(const smtp::CommandOffered& event, const Route* route, Instant now);
  void handle_hello(const smtp::CommandOffered& event, Instant now);
  void answer_without_link(smtp::EventNumber number, smtp::Verb verb);

  /// The backend takes part in the transaction: a MAIL that was only answered here is nothing to it.
  bool known_behind() const { return link_ != LinkState::None && (options_.backend || mail_sent_); }

  void pump(Instant now);
  void on(const Greeted& event, Instant now);
  void on(const Replied& event, Instant now);
  void on(const BackendFailed& event);
  void on_client_reply(const Asked& asked, const smtp::Reply& reply);
  void on_hello_reply(const Asked& asked, const smtp::Reply& reply, Instant now);

  void connect(std::string backend, std::size_t attempt);
  void try_next_target(const std::string& why);
  void open_now(Instant now);
  void opening_failed(const smtp::Reply& reply);
  void submit(std::string line, Asked asked, Instant now, std::string text = {});
  smtp::Reply data_refusal() const;
  void send_chunk(std::string_view words, Asked asked, Instant now);
  void answer(smtp::EventNumber number, smtp::Reply reply) { actions_.push_back(Answer{number, std::move(reply)}); }
  void answer_asked(const Asked& asked, const smtp::Reply& reply);
  void answer_all_open(const smtp::Reply& reply);
  void drop_link(std::string last_words = {});
  void cut(const smtp::Reply& reply);
  void quit();
  void begin_anew();
  void end_text();

  RelayOptions options_;
  LinkState link_ = LinkState::None;
  std::string backend_;                  // of the link, or of the last one
  std::size_t attempt_ = 0;
  std::optional<BackendSession> session_;     // from connected() on
  std::optional<smtp::Reply> last_refusal_;   // of a target, while the next one is tried
  std::deque<Waiting> waiting_;
  std::size_t waiting_octets_ = 0;
  std::optional<smtp::CommandOffered> hello_;  // the client's last, whatever came of it
  bool hello_owed_ = false;              // early: it has to be answered by the link that comes to be
  bool client_greeted_ = false;          // early
  std::optional<std::string> mail_;      // answered here, to be replayed with the first recipient
  bool mail_sent_ = false;               // the backend was told of the transaction
  std::optional<smtp::Reply> fate_;
  Text text_ = Text::None;
  smtp::DotStuffing stuffing_;
  std::string stuffed_;
  std::string chunk_;                    // of the client's BDAT, not sent yet
  std::deque<Action> actions_;
};

}  // namespace postern::relay
