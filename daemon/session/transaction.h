// One mail transaction of an inbound session: who it is for, the message, and its hand-off to the backends. Shared by
// the session and the hand-offs in progress, so that the outcome is logged, and reaches the ledger where it must, even
// when the client has gone. What it does with the ledger is in transaction_ledger.cpp; why, in delivery/ledger.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "daemon/session/backends.h"
#include "daemon/session/budget.h"
#include "daemon/session/journal.h"
#include "daemon/session/message.h"
#include "daemon/session/reverse_dns.h"
#include "daemon/session/session_score.h"
#include "daemon/session/settings.h"
#include "daemon/uv/loop.h"
#include "delivery/ledger.h"
#include "delivery/message_id.h"
#include "delivery/outcome.h"
#include "delivery/plan.h"
#include "observe/event.h"
#include "smtp/authentication_results.h"
#include "smtp/server_session.h"

namespace postern::session {

/// What transactions need of their worker; outlives them.
struct TransactionServices {
  uv::Loop& loop;
  Backends& backends;
  MessageBudgets& budgets;
  delivery::Ledger& ledger;
  Journal& journal;
};

class Transaction : public std::enable_shared_from_this<Transaction> {
 public:
  /// `facts` holds what all log lines of the transaction say: ids, peer, client name, TLS.
  static std::shared_ptr<Transaction> make(const TransactionServices& services,
                                           std::shared_ptr<const RunSettings> settings, smtp::ReversePath from,
                                           smtp::MailParameters parameters, observe::RecipientRecord facts);

  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  const std::string& id() const { return facts_.transaction; }
  /// What its log lines have in common.
  const observe::RecipientRecord& facts() const { return facts_; }
  const RunSettings& settings() const { return *settings_; }
  const smtp::ReversePath& from() const { return from_; }
  const smtp::MailParameters& parameters() const { return parameters_; }

  /// The backend would take this recipient; `asked` is what the client named, `to` what `backend` is asked for. A refusal
  /// when it cannot be together with those accepted before (delivery/ledger.h), or when there is no memory left for one
  /// more; it is logged.
  [[nodiscard]] std::optional<smtp::Reply> accept(smtp::ForwardPath asked, std::string backend, smtp::ForwardPath to,
                                                  smtp::RecipientParameters parameters);
  /// A recipient was refused or deferred at RCPT: one log line.
  void refuse(const smtp::ForwardPath& asked, const std::string& backend, const smtp::Reply& reply);

  /// DNS has said who the client is.
  void name_client(const ClientDnsName& name);

  /// The peer, whom we trust, forwards for somebody else: for the log, and for backends that take it from us.
  void forward_for(proxy::ClientIdentity client);

  /// Who sends, for backends that take it from us.
  proxy::ClientIdentity client_identity() const;

  /// A refusal, logged for each recipient, when too many messages wait for one of the backends already.
  std::optional<smtp::Reply> too_busy();

  /// What is taken is counted there, and log lines say what it makes of the connection.
  void count_for(std::shared_ptr<SessionScore> score) { score_ = std::move(score); }

  /// The recipient for the Received header: only when there is exactly one (RFC 5321 section 4.4 and 7.6).
  std::optional<smtp::ForwardPath> only_recipient() const;
  std::size_t recipient_count() const { return recipients_.size(); }
  /// Sender and recipients, as paths: what a backend's reply may name. The first hundred, since replies name few.
  std::vector<std::string> addresses() const;

  /// The message; null until begin_message().
  Message* message() const { return message_.get(); }
  /// What is appended passes `claims` on its way into the message.
  void begin_message(std::shared_ptr<Message> message, std::string_view received_field,
                     smtp::AuthenticationResultsFilter claims);
  void append(std::string_view chunk);
  void end_message();

  /// Hands the finished message to all backends in parallel, but for recipients of whom the ledger knows what became of
  /// them at an earlier try, and calls `done` with the reply for the client (DESIGN section 3), and with one for
  /// each recipient if `form` asks for it, once what the reply relies on is on disk. Also logs one line a recipient.
  using Done = std::function<void(Transaction&, const delivery::EachAndOverall&)>;
  void hand_off(smtp::OutcomeForm form, Done done);

  /// The client is gone, and nobody will hear the answer: should it come again before there is one, it has to wait.
  void abandoned();

  /// The client has had the reply: entries of the ledger that it was made of have done their work.
  void told();
  /// The client may not have had the reply: if it was that the message is taken, the ledger remembers it.
  void untold();

  /// The message is refused as it is, whoever its recipients are: one log line for each of them.
  void refuse_message(const smtp::Reply& reply);

  /// Pass-through: the backend has taken this recipient.
  void note_recipient(smtp::ForwardPath to, std::string backend);
  /// Pass-through: looks for what the log says of a message that is not kept here.
  void look_at(std::string_view chunk) { message_id_.receive(chunk); }
  /// Pass-through: what the backend has said of the whole message; one log line for each recipient.
  void settle(const smtp::Reply& reply, std::uint64_t octets);

  /// The message could not be kept: the reply for the client; logged for each recipient.
  smtp::Reply fail_locally(const Error& why);

 private:
  Transaction(const TransactionServices& services, std::shared_ptr<const RunSettings> settings)
      : services_(services),
        settings_(std::move(settings)),
        envelope_share_(services.budgets.memory, settings_->message_memory_max) {}

  struct Recipient {
    smtp::ForwardPath asked;
    std::string backend;
    smtp::ForwardPath to;
    smtp::RecipientParameters parameters;
    bool known = false;    // what became of it is from the ledger: no backend is asked
    bool awaited = false;  // the answer was given, and the backend may still say something else
    bool held = false;     // in the ledger, by us
  };
  struct Part {  // of the hand-off: one backend
    std::string backend;
    std::vector<smtp::ForwardPath> paths;      // without duplicates
    std::vector<smtp::RecipientParameters> parameters;  // of each path
    std::vector<std::size_t> path_of;          // recipient → paths, for those in `members`
    std::vector<std::size_t> members;          // → recipients_
  };
  using Then = std::function<void(const Result<delivery::MessageKey>&)>;
  using Wanted = std::function<bool(std::size_t recipient, const smtp::Reply& reply)>;

  std::vector<Part> parts() const;
  void note_others();
  void pass(std::string_view piece);
  void deliver();
  void part_done(const Part& part, const Delivered& delivered);
  void all_done();
  void answer_from_outcomes();
  void answer(const delivery::EachAndOverall& reply);
  void log(const smtp::ForwardPath& asked, const std::string& backend, const delivery::RecipientOutcome& outcome,
           std::string_view status);
  void log(const smtp::ForwardPath& asked, const std::string& backend, const delivery::RecipientOutcome& outcome) {
    log(asked, backend, outcome, delivery::to_string(outcome.status));
  }

  // The ledger (transaction_ledger.cpp).
  bool admit(const smtp::ForwardPath& asked);
  bool has_room_for(const Recipient& recipient);
  delivery::EnvelopeKey envelope(const smtp::ForwardPath& asked);
  bool ledger_may_know_some();
  const std::string& sender();
  void with_key(Then then);
  void look_up(const delivery::MessageKey& key);
  delivery::LedgerEntry entry(const Recipient& recipient, const delivery::MessageKey& key);
  std::vector<delivery::LedgerEntry> entries(const delivery::MessageKey& key, const Wanted& wanted);
  void record_quietly(const delivery::MessageKey& key, const Wanted& wanted);
  void hold(const delivery::MessageKey& key, bool (*wanted)(const Recipient&));
  void release(bool (*wanted)(const Recipient&));
  void record_then_answer();
  void recorded(const Result<void>& result);
  void part_late(const Part& part, const Delivered& delivered);

  const TransactionServices services_;
  const std::shared_ptr<const RunSettings> settings_;
  smtp::ReversePath from_;
  smtp::MailParameters parameters_;
  observe::RecipientRecord facts_;
  ClientDnsName client_name_;
  std::shared_ptr<SessionScore> score_;
  std::optional<proxy::ClientIdentity> forwarded_;  // for whom the client forwards
  Instant began_{};
  Instant handed_off_at_{};
  Instant final_deadline_{};
  std::vector<Recipient> recipients_;
  std::uint64_t envelope_octets_ = 0;  // of recipients_, about
  BudgetShare envelope_share_;
  std::shared_ptr<Message> message_;
  std::optional<smtp::AuthenticationResultsFilter> claims_;
  std::size_t received_octets_ = 0;  // of message_, in front: our Received field
  delivery::MessageIdFinder message_id_;
  std::vector<delivery::RecipientOutcome> outcomes_;
  std::size_t parts_open_ = 0;
  smtp::OutcomeForm form_ = smtp::OutcomeForm::One;
  Done done_;
  std::optional<smtp::Reply> reply_;  // the overall one, once it was given to done_

  delivery::Separation separation_;
  std::string sender_;                                // canonical; made when it is asked for
  std::optional<Result<delivery::MessageKey>> key_;
  std::vector<Then> waiting_for_key_;
  bool recording_ = false;
  std::unique_ptr<uv::Timer> record_timer_;  // while the disk is waited for
};

}  // namespace postern::session
