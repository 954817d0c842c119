// The SMTP and LMTP client machine that hands messages to a backend, without I/O. One ClientSession is one connection,
// which serves many transactions and recipient checks, one after another.
//
//   session.receive(bytes, now);
//   while (auto event = session.next()) ...
//   send(session.take_output());
//
// Where the peer offers PIPELINING (RFC 2920), MAIL, every RCPT and DATA leave in one batch, and so do MAIL, RCPT and
// RSET of a check: a hand-off costs two round trips. That DATA may then be answered 354 although every recipient was
// refused is the price; RFC 2920 section 3.1 has the cure, a lone dot. Without the offer every command waits for the
// reply to the one before, and nothing is sent that has lost its purpose.
//
// A message goes out by DATA, dot-stuffed; only one with BODY=BINARYMIME goes by BDAT (RFC 3030), as it is.
//
// Whatever goes wrong, what the peer has said of recipients is not lost: it is in DeliveryDone or SessionFailed.
// What must stay out: sockets, clocks, which backend, retries, pools.
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
#include "smtp/parameters.h"
#include "smtp/peer_extensions.h"
#include "smtp/reply.h"
#include "smtp/server_session.h"  // Dialect

namespace postern::smtp {

struct ClientTimeouts {
  Duration greeting = std::chrono::seconds(60);  ///< from the construction to the greeting
  Duration command = std::chrono::seconds(60);   ///< for each reply, and for each step of sending the message
  Duration after_dot = std::chrono::minutes(5);  ///< from the final dot to the last of its replies
};

enum class StartTls {
  Never,     ///< also where the connection is under TLS from its first octet
  Required,  ///< a peer that does not offer or do it fails: nothing of a message goes in clear
};

struct ClientOptions {
  Dialect dialect = Dialect::Lmtp;
  std::string hostname;  ///< what LHLO or EHLO says
  ClientTimeouts timeouts;
  StartTls start_tls = StartTls::Never;
  Privacy privacy = Privacy::Open;  ///< of the whole way to the peer, with STARTTLS where it is required
};

/// How far a connection had come; names the step in logs and decides whether a retry elsewhere is safe.
enum class ClientStage {
  Greeting,
  Hello,
  StartTls,
  Handshake,  ///< TLS, which the owner does
  Idle,
  Noop,
  Identify,   ///< XCLIENT or XFORWARD
  Mail,
  Rcpt,
  Data,
  Body,
  AfterDot,   ///< or after BDAT LAST
  Reset
};
/// In the words of the protocol: "the greeting", "RCPT", "the final dot", ...
std::string_view to_string(ClientStage stage);

/// One transaction, as asked of the session. SIZE, BODY, SMTPUTF8 and the parameters of DSN are said as far as the peer
/// offers them. A message that needs SMTPUTF8, BINARYMIME or REQUIRETLS where it is not to be had is refused for every
/// recipient without a word to the peer (`553 5.6.7`, `550 5.6.3`, `550 5.7.30`); an 8-bit message goes out as it is.
struct Envelope {
  ReversePath from;
  std::vector<ForwardPath> recipients;
  MailParameters parameters;
  std::vector<RecipientParameters> recipient_parameters = {};  ///< of each recipient; or none at all
  /// Who the message comes from, for a peer that believes us: a whole XCLIENT or XFORWARD command without its line end;
  /// empty: nothing is said. After XCLIENT, which begins the session anew, LHLO or EHLO is said again.
  std::string identify = {};
};

/// STARTTLS was answered 220 and nothing came behind it: do the handshake, call tls_started(), and receive() what is
/// decrypted from then on. A handshake that fails is a connection_lost().
struct TlsWanted {};

/// Greeting and LHLO are done; deliver(), check() and probe() may be called.
struct PeerReady {
  PeerExtensions extensions;
};

/// The answer to probe() was positive: the session is idle again.
struct PeerAlive {};

/// The answer to check(): the reply to RCPT, or a refused MAIL in its place. RSET has been sent and answered: the
/// session is idle again, unless a SessionFailed follows.
struct RecipientChecked {
  Reply reply;
};

/// At least one recipient of deliver() was accepted, and DATA, where it is used, was answered 354: call send_body()
/// until the message is through, then finish_body().
struct BodyWanted {};

/// The transaction is over. One reply for each recipient of the Envelope, in its order, whichever command it came from
/// (a refused MAIL or DATA counts for every recipient). The session is idle again, unless a SessionFailed follows.
struct DeliveryDone {
  std::vector<Reply> replies;
};

/// The connection is of no more use: close it. Says what is known of the open transaction.
struct SessionFailed {
  enum class Why { PeerClosed, TimedOut, BadReply, Refused };
  Why why;
  ClientStage stage;
  Error error;                 ///< for the log: peer's words or ours
  std::optional<Reply> reply;  ///< the peer's own last words, if any (a 421, a refused greeting)
  std::vector<std::optional<Reply>>
      replies;                     ///< final per-recipient replies that were read before (AfterDot, or Rcpt refusals)
  bool answered_anything = false;  ///< false: since the transaction or check began, nothing but a 421 was read
};

using ClientEvent =
    std::variant<TlsWanted, PeerReady, PeerAlive, RecipientChecked, BodyWanted, DeliveryDone, SessionFailed>;

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

  /// The handshake that TlsWanted asked for has succeeded. What the peer offered in clear is forgotten (RFC 3207 section
  /// 4.2).
  void tls_started(Instant now);

  /// True when deliver(), check(), probe() or quit() may be called.
  bool idle() const;

  /// True once the peer, after an XCLIENT, does not let us say XCLIENT again (Postfix, unless the client is one whom it
  /// would believe): it takes everything on this connection for that client's, so nobody else's mail may go there.
  bool bound_to_client() const;

  /// The following four only while idle().
  ///
  /// MAIL, RCPT, RSET for the one recipient of the envelope (DESIGN section 3: the null sender towards LMTP).
  void check(Envelope envelope, Instant now);

  /// NOOP: is anybody there? PeerAlive, or SessionFailed.
  void probe(Instant now);

  /// MAIL, RCPT..., DATA; see BodyWanted and DeliveryDone. There must be a recipient.
  void deliver(Envelope envelope, Instant now);

  /// QUIT; nothing comes from the session after that: close when the output is sent.
  void quit();

  /// A piece of the message as it was received (CRLF line ends, not dot-stuffed); it is stuffed here where it has to be.
  /// Only between BodyWanted and finish_body(); does nothing when the session has failed meanwhile.
  void send_body(std::string_view chunk, Instant now);
  /// The final dot, behind a CRLF if the message did not end with one; or BDAT LAST.
  void finish_body(Instant now);

  /// The message cannot be completed: nothing comes from the session after that, and the connection must be dropped
  /// without a final dot.
  void abandon();

  std::optional<Instant> deadline() const;
  void expire(Instant now);

  ClientStage stage() const;

  /// What is decided already of the recipients of the open delivery, in their order; empty when none is open.
  std::vector<std::optional<Reply>> replies_so_far() const;

  const PeerExtensions& extensions() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::smtp
