// The inbound SMTP machine (and LMTP, in which the embedded store is spoken to), without I/O.
//
//   session.receive(bytes);                     // plaintext from the client
//   while (auto event = session.next()) ...     // what has to be decided or done
//   send(session.take_output());                // replies, in the order of the commands
//
// Events that need a decision carry a number; answer(number, reply) may come at once or later, and several may be open
// (a pipelined batch of RCPTs is checked as a batch). Replies leave in the order of the commands all the same. The
// session stops reading only at a command whose meaning depends on an open answer (DATA, BDAT, STARTTLS, EHLO, QUIT,
// RSET) or when `pipeline_depth` answers are open; then next() returns nothing until answer() was called. A next() that
// returns nothing needs more bytes, an answer, or (output_full()) take_output().
//
// Memory: what was received and not yet worked off (one read of the caller's, see wants_input(), and a command line),
// `pipeline_depth` answers, 8 KiB of replies and one more. What belongs to a message is the caller's.
//
// What must stay out: sockets, clocks, TLS, recipients' existence, where mail goes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "smtp/address.h"
#include "smtp/command.h"
#include "smtp/extensions.h"
#include "smtp/parameters.h"
#include "smtp/reply.h"
#include "smtp/settings.h"
#include "smtp/tally.h"

namespace postern::smtp {

/// Identifies an event that awaits an answer; unique within a session.
using EventNumber = std::uint64_t;

enum class Dialect { Smtp, Lmtp };

/// Who decides about mail.
enum class Authority {
  Self,     ///< the session: the order of commands, extensions, parameters
  Backend,  ///< an MTA behind it, which is offered command by command (CommandOffered). The session answers violations of
            ///< line length, encoding, STARTTLS, limits, smuggling and of the allow-list itself (DESIGN section 3).
};

/// Authority::Backend: what the client may use, as its last EHLO answer has shown it.
struct Passing {
  bool chunking = false;
  bool authentication = false;
  std::vector<std::string> mail_parameters{"SIZE", "BODY"};  ///< keywords
  std::vector<std::string> recipient_parameters;
};

/// Whether STARTTLS is on offer.
enum class TlsState {
  Unavailable,  ///< the listener has no TLS: STARTTLS is `502`
  Offered,
  Active,       ///< since a STARTTLS handshake, or from the start (implicit TLS)
};

struct ServerOptions {
  Dialect dialect = Dialect::Smtp;
  Authority authority = Authority::Self;
  std::optional<Reply> greeting;  ///< a backend's; nothing: our own
  std::string hostname;   ///< in the greeting and the EHLO answer
  TlsState tls = TlsState::Unavailable;
  Extensions extensions;
  Smuggling smuggling = Smuggling::Reject;
  bool strict = false;
  /// The attributes that XCLIENT and XFORWARD take from this peer, as the EHLO answer lists them (proxy/client_identity.h);
  /// empty: it is not trusted with the command, which does not exist then. What they point to outlives the session.
  std::string_view xclient = {};
  std::string_view xforward = {};
  ServerLimits limits;
  ServerTimeouts timeouts;
  Tally* tally = nullptr; ///< where commands and replies are counted; outlives the session
};

/// MAIL was well formed and in order. A positive answer opens the transaction.
struct SenderOffered {
  EventNumber number;
  ReversePath from;
  MailParameters parameters;
};

/// RCPT was well formed and in order. A positive answer adds the recipient to the transaction. Numbers grow in the order
/// of the commands: it can be restored from them when answers came in another.
struct RecipientOffered {
  EventNumber number;
  ForwardPath to;
  RecipientParameters parameters;
};

/// The session has refused a command by itself (its grammar, its place, a limit): for the log. There are as many as
/// ServerLimits allows errors and commands.
struct CommandRefused {
  Verb verb;
  std::string line;  ///< raw, the first `refused_octets_max` of it; of AUTH the verb alone; empty: it was too long to be read
  Reply reply;
};
constexpr std::size_t refused_octets_max = 512;

/// Authority::Backend: a command that passes. `line` is what the backend is to be sent, without CRLF.
struct CommandOffered {
  EventNumber number;
  Verb verb;         ///< Ehlo, Helo, Mail, Rcpt, Rset, Noop, Help, Auth; Unknown: a line of an AUTH exchange
  std::string line;
  std::optional<ReversePath> from = {};  ///< of MAIL
  std::optional<ForwardPath> to = {};    ///< of RCPT
};

/// XCLIENT or XFORWARD, outside a transaction, of a peer that is trusted with it. XFORWARD, and an XCLIENT that is refused,
/// want an answer. An XCLIENT that is believed ends this session: send take_output(), and give what take_unread() has to
/// the one that begins in its place, whose greeting is the answer.
struct IdentityOffered {
  EventNumber number;
  Verb verb;
  std::string argument;
};

/// Authority::Backend: the text of a BDAT without LAST has been seen whole. (With LAST: MessageComplete.)
struct ChunkComplete {
  EventNumber number;
};

/// DATA, or the first BDAT, was in order and at least one recipient was accepted. Answer with 354
/// (`replies::start_input`) to take the message, or refuse it. After a refused DATA the transaction stays as it was; a
/// refused BDAT ends it (TransactionEnded, Reset), because more chunks may be on their way. Authority::Backend: DATA alone.
struct BodyOffered {
  EventNumber number;
};

/// A piece of the message, unstuffed; line ends are CRLF and there is no NUL, unless MAIL has said BODY=BINARYMIME. Good
/// until the next call on the session that is not const.
struct BodyChunk {
  std::string_view bytes;
};

/// How a client takes the outcome of a message. Whatever it is, answer() is possible too, when there is one outcome for
/// all.
enum class OutcomeForm {
  One,                 ///< answer()
  ForEach,             ///< LMTP: answer_recipients() with a reply for each
  ForEachThenOverall,  ///< PRDR with at least two accepted recipients: answer_recipients() with an overall reply too
};

/// The whole message has been seen. The answer ends the transaction.
struct MessageComplete {
  EventNumber number;
  std::uint64_t octets;
  OutcomeForm form = OutcomeForm::One;
};

/// A transaction that had been opened ended without a MessageComplete: drop what belongs to it. When the cause was in
/// the message itself (too large, smuggling), the refusal has been given by the session.
struct TransactionEnded {
  enum class Why { Reset, Hello, MessageTooLarge, Smuggling, TooManyHops, Closing };
  Why why;
  std::optional<Reply> refusal = {};  ///< when the cause was in the message: what the client is told at its end
};

/// STARTTLS was accepted and nothing stood behind it. Send take_output() (it ends with the 220) in clear, then start
/// the handshake, then call tls_started() or drop the connection.
struct TlsRequested {};

/// Nothing more will be read. Send take_output(), then close.
struct SessionClosing {
  enum class Why {
    Quit,
    TooManyErrors,
    TooManyCommands,
    TooManyUnknownCommands,
    TooManyTransactions,
    TimedOut,
    TooSlow,       ///< ServerLimits::data_octets_per_second_min
    Injection,     ///< bytes behind STARTTLS (DESIGN promise 4)
    BareLf,        ///< a command line ended in LF alone: nobody knows what others take for a command behind it
    BadChunk,      ///< BDAT without a size that can be followed: nobody knows where the text ends
    Http,          ///< an HTTP request
    TlsInClear,    ///< a TLS record where a command was expected
    WrongProtocol, ///< binary noise
    ShuttingDown,
    PeerClosed,
    BackendGone,   ///< Authority::Backend: it has said 421
  };
  Why why;
};

using ServerEvent = std::variant<SenderOffered, RecipientOffered, CommandRefused, CommandOffered, IdentityOffered, BodyOffered,
                                 BodyChunk, ChunkComplete, MessageComplete, TransactionEnded, TlsRequested, SessionClosing>;

/// For logs: "quit", "too many errors", ...
std::string_view to_string(SessionClosing::Why why);

/// See ServerSession::receive(). With the limits that ServerLimits has by default, a session then holds 64 KiB at most
/// whatever a client does, but for what belongs to a message.
constexpr std::size_t command_read_octets_max = 16 * 1024;

class ServerSession {
 public:
  /// The greeting is in take_output() at once.
  ServerSession(ServerOptions options, Instant now);
  ~ServerSession();
  ServerSession(ServerSession&&) noexcept;
  ServerSession& operator=(ServerSession&&) noexcept;

  /// Stores bytes; nothing is parsed before next(). The caller should stop reading from its socket while
  /// wants_input() is false, so that a client cannot make the session hold more than one read; and read no more than
  /// `command_read_octets_max` at a time while there is no text to be read.
  void receive(std::string_view bytes, Instant now);
  bool wants_input() const;
  bool reads_text() const;

  /// The client will send nothing more (half-close). What was received is still worked off.
  void end_of_input();

  std::optional<ServerEvent> next();

  /// Gives the reply to a SenderOffered, RecipientOffered, BodyOffered or MessageComplete. `now` restarts the command
  /// time limit: while we owe the client an answer its clock does not run.
  void answer(EventNumber number, Reply reply, Instant now);

  /// OutcomeForm::ForEach: one reply for each accepted recipient, in RCPT order.
  void answer_recipients(EventNumber number, const std::vector<Reply>& replies, Instant now);

  /// OutcomeForm::ForEachThenOverall: 353, one reply for each accepted recipient, in RCPT order, and one that says
  /// whether the client has delivered anything.
  void answer_recipients(EventNumber number, const std::vector<Reply>& replies, const Reply& overall, Instant now);

  /// Replies that may leave now, in order.
  std::string take_output();

  /// What was received behind the command that is being answered, and not read yet; it is not kept.
  std::string take_unread();

  /// So many replies wait that no more commands are read: call take_output(), and then next() again, when the client
  /// has fetched what was sent before.
  bool output_full() const;

  /// The handshake after TlsRequested has succeeded: everything that was learnt in clear is forgotten (RFC 3207
  /// section 4.2). `hostname` is what the next EHLO answer says. Extensions may differ over TLS.
  void tls_started(std::string hostname, Extensions extensions, Instant now);

  /// Authority::Backend: what the client may use from here on. Call before EHLO is answered.
  void allow(Passing passing);
  /// Authority::Backend instead of Self, or the other way: SNI has decided. Only right behind tls_started().
  void set_authority(Authority authority);

  /// Between transactions: `421 4.3.2` and SessionClosing. Inside one: as soon as it has ended; a message that has
  /// been received whole is answered first.
  void shut_down();

  /// When expire() wants to be called next, if ever.
  std::optional<Instant> deadline() const;

  /// Called when deadline() has passed: `421 4.4.2` and SessionClosing. Early calls do nothing.
  void expire(Instant now);

  /// As given in EHLO, HELO or LHLO (raw: escape before logging); empty before.
  const std::string& client_name() const;

  /// For the `with` clause of Received (RFC 3848, RFC 6531 section 4.3): "SMTP", "ESMTP", "ESMTPS", "UTF8SMTPS", "LMTP".
  std::string protocol_name() const;

  /// True from the moment a MessageComplete was given out until its answer.
  bool awaiting_outcome() const;

  /// True from a MAIL that was answered positively until the transaction ends.
  bool in_transaction() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::smtp
