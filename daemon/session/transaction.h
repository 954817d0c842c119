// One mail transaction of an inbound session: who it is for, the message, and its hand-off to the backends. Shared by
// the session and the hand-offs in progress, so that the outcome is logged even when the client has gone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/instant.h"
#include "daemon/session/backends.h"
#include "daemon/session/journal.h"
#include "daemon/session/message.h"
#include "daemon/session/settings.h"
#include "delivery/message_id.h"
#include "delivery/outcome.h"
#include "delivery/plan.h"
#include "observe/event.h"
#include "smtp/server_session.h"

namespace postern::session {

class Transaction : public std::enable_shared_from_this<Transaction> {
 public:
  /// `facts` holds what all log lines of the transaction say: ids, peer, client name, TLS.
  static std::shared_ptr<Transaction> make(std::shared_ptr<const RunSettings> settings, smtp::ReversePath from,
                                           smtp::MailParameters parameters, observe::RecipientRecord facts,
                                           Journal& journal, Instant now);

  const std::string& id() const { return facts_.transaction; }
  const RunSettings& settings() const { return *settings_; }
  const smtp::MailParameters& parameters() const { return parameters_; }

  /// A recipient was accepted; `asked` is what the client named, `to` what `backend` is asked for.
  void accept(smtp::ForwardPath asked, std::string backend, smtp::ForwardPath to);
  /// A recipient was refused or deferred at RCPT: one log line.
  void refuse(const smtp::ForwardPath& asked, const std::string& backend, const smtp::Reply& reply, Instant now);

  /// The recipient for the Received header: only when there is exactly one (RFC 5321 section 4.4 and 7.6).
  std::optional<smtp::ForwardPath> only_recipient() const;
  std::size_t recipient_count() const { return recipients_.size(); }

  /// The message; null until begin_message().
  Message* message() const { return message_.get(); }
  void begin_message(std::shared_ptr<Message> message, std::string_view received_field);
  void append(std::string_view chunk);
  void drop_message();

  /// Hands the finished message to all backends in parallel and calls `done` with the one reply for the client
  /// (DESIGN section 3). Also logs one line a recipient. `now` is when the client's final dot was seen.
  void hand_off(Backends& backends, uv::Loop& loop, std::function<void(const smtp::Reply&)> done);

  /// The message is refused as it is, whoever its recipients are: one log line for each of them.
  void refuse_message(const smtp::Reply& reply, Instant now);

  /// The message could not be kept: the reply for the client; logged for each recipient.
  smtp::Reply fail_locally(const Error& why, Instant now);

 private:
  Transaction() = default;

  struct Recipient {
    smtp::ForwardPath asked;
    std::string backend;
    smtp::ForwardPath to;
  };
  struct Part {  // of the hand-off: one backend
    std::string backend;
    std::vector<smtp::ForwardPath> paths;      // without duplicates
    std::vector<std::size_t> path_of;          // recipient → paths, for those in `members`
    std::vector<std::size_t> members;          // → recipients_
  };
  std::vector<Part> parts() const;
  void part_done(const Part& part, const Delivered& delivered, uv::Loop& loop);
  void log(const smtp::ForwardPath& asked, const std::string& backend, const delivery::RecipientOutcome& outcome,
           Instant now);

  std::shared_ptr<const RunSettings> settings_;
  smtp::ReversePath from_;
  smtp::MailParameters parameters_;
  observe::RecipientRecord facts_;
  Journal* journal_ = nullptr;
  Instant began_{};
  std::vector<Recipient> recipients_;
  std::shared_ptr<Message> message_;
  delivery::MessageIdFinder message_id_;
  std::vector<delivery::RecipientOutcome> outcomes_;
  std::size_t parts_open_ = 0;
  std::function<void(const smtp::Reply&)> done_;
};

}  // namespace postern::session
