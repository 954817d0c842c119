// The SMTP and LMTP client machine that hands messages to a backend, without I/O. One ClientSession is one connection,
// which serves many transactions and recipient checks, one after another.
//
//   session.receive(bytes, now);
//   while (auto event = session.next()) ...
//   send(session.take_output());
//
// PIPELINING is used when the peer offers it. What must stay out: sockets, clocks, which backend, retries, pools.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "smtp/address.h"
#include "smtp/reply.h"
#include "smtp/server_session.h"  // Dialect

namespace postern::smtp {

struct ClientTimeouts {
  Duration greeting = std::chrono::seconds(60);
  Duration command = std::chrono::seconds(60);    ///< for each reply, and for each step of sending the message
  Duration after_dot = std::chrono::minutes(5);   ///< from the final dot to the last of its replies
};

struct ClientOptions {
  Dialect dialect = Dialect::Lmtp;
  std::string hostname;  ///< what LHLO or EHLO says
  ClientTimeouts timeouts;
};

/// What the peer's LHLO or EHLO answer offered.
struct PeerExtensions {
  bool pipelining = false;
  bool eight_bit_mime = false;
  bool smtputf8 = false;
  bool chunking = false;
  bool dsn = false;
  bool starttls = false;
  std::optional<std::uint64_t> size_max;  ///< 0 or absent: no limit was said
  std::vector<std::string> keywords;      ///< every keyword, upper case

  friend bool operator==(const PeerExtensions&, const PeerExtensions&) = default;
};

/// How far a connection had come; names the step in logs and decides whether a retry elsewhere is safe.
enum class ClientStage { Greeting, Hello, Idle, Mail, Rcpt, Data, Body, AfterDot };
std::string_view to_string(ClientStage stage);

/// One transaction, as asked of the session.
struct Envelope {
  ReversePath from;
  std::vector<ForwardPath> recipients;
  MailParameters parameters;
};

/// Greeting and LHLO are done; deliver() and check() may be called.
struct PeerReady {
  PeerExtensions extensions;
};

/// The answer to check(): the reply to RCPT, or a refused MAIL in its place. RSET has been sent and answered: the
/// session is idle again.
struct RecipientChecked {
  Reply reply;
};

/// At least one recipient of deliver() was accepted and DATA was answered 354: call send_body() until the message is
/// through, then finish_body().
struct BodyWanted {};

/// The transaction is over and the session is idle again. One reply for each recipient of the Envelope, in its order,
/// whichever command it came from (a refused MAIL or DATA counts for every recipient).
struct DeliveryDone {
  std::vector<Reply> replies;
};

/// The connection is of no more use: close it. Says what is known of the open transaction.
struct SessionFailed {
  enum class Why { PeerClosed, TimedOut, BadReply, Refused };
  Why why;
  ClientStage stage;
  Error error;                                ///< for the log: peer's words or ours
  std::optional<Reply> reply;                 ///< the peer's own last words, if any (a 421, a refused greeting)
  std::vector<std::optional<Reply>> replies;  ///< final per-recipient replies that were read before (AfterDot, or Rcpt refusals)
  bool answered_anything = false;             ///< false: nothing at all was read since the transaction or check began
};

using ClientEvent = std::variant<PeerReady, RecipientChecked, BodyWanted, DeliveryDone, SessionFailed>;

class ClientSession {
 public:
  ClientSession(ClientOptions options, Instant now);
  ~ClientSession();
  ClientSession(ClientSession&&) noexcept;
  ClientSession& operator=(ClientSession&&) noexcept;

  void receive(std::string_view bytes, Instant now);
  /// The peer closed, or the socket failed with `reason`.
  void connection_lost(std::string reason, Instant now);

  std::optional<ClientEvent> next();
  std::string take_output();

  /// True when deliver(), check() or quit() may be called.
  bool idle() const;

  /// MAIL, RCPT, RSET for one recipient (DESIGN section 3: the null sender towards LMTP).
  void check(ReversePath from, ForwardPath to, MailParameters parameters, Instant now);

  /// MAIL, RCPT..., DATA; see BodyWanted and DeliveryDone.
  void deliver(Envelope envelope, Instant now);

  /// A piece of the message as it was received (CRLF line ends, not dot-stuffed); it is stuffed here.
  void send_body(std::string_view chunk, Instant now);
  void finish_body(Instant now);

  /// The message cannot be completed: the connection must be dropped without a final dot.
  void abandon();

  /// NOOP on an idle connection (health); answered by RecipientChecked's sibling: nothing, or SessionFailed.
  void quit();

  std::optional<Instant> deadline() const;
  void expire(Instant now);

  ClientStage stage() const;
  const PeerExtensions& extensions() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::smtp
