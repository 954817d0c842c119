// One TLS connection without I/O: ciphertext in and out, plaintext in and out. Server side and client side.
//
//   stream.receive(ciphertext);
//   while (auto event = stream.next()) ...
//   send(stream.take_output());
//
// After PeerClosed or TlsFailed nothing more comes, and nothing may be sent in clear on that connection
// (DESIGN promise 4). A transport that ends without PeerClosed was cut off (the peer, or somebody between).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/dns_name.h"
#include "base/instant.h"
#include "tls/context.h"
#include "tls/credential.h"
#include "tls/key_operation.h"

namespace postern::tls {

/// What a handshake came to; for logs, Received and metrics.
struct HandshakeFacts {
  std::string version;  ///< "TLSv1.3"
  std::string cipher;   ///< IANA name: "TLS_AES_128_GCM_SHA256"
  unsigned cipher_bits = 0;
  std::string group;    ///< "X25519", empty when unknown
  std::string alpn;
  bool resumed = false;
};

/// The handshake has succeeded.
struct Established {};

/// Decrypted application data. Good until the next call on the stream that is not const.
struct Plaintext {
  std::string_view bytes;
};

/// The peer sent close_notify.
struct PeerClosed {};

/// The handshake or the connection broke; take_output() may hold an alert to be sent before the socket is closed.
struct TlsFailed {
  std::string reason;                  ///< "no shared cipher", "peer sent alert bad_certificate", ...
  std::optional<int> alert_received;   ///< RFC 8446 section 6
  std::optional<int> alert_sent;
  bool during_handshake = false;
};

/// The chosen credential is a deferred one: next() says nothing more until provide_credential().
struct NeedsCredential {
  std::shared_ptr<const Credential> listed;
};

using StreamEvent = std::variant<Established, Plaintext, PeerClosed, TlsFailed, NeedsCredential>;

class Stream {
 public:
  /// `source` is asked once the ClientHello is there and must outlive the handshake (it is held). `now` decides whether
  /// a staple is fresh; without it nothing is stapled.
  static std::unique_ptr<Stream> server(std::shared_ptr<const ServerContext> context,
                                        std::shared_ptr<const CredentialSource> source, WallTime now = {});

  /// `name` goes into SNI and is verified against the certificate when the context verifies.
  static std::unique_ptr<Stream> client(std::shared_ptr<const ClientContext> context, std::optional<DnsName> name);

  virtual ~Stream() = default;
  virtual void receive(std::string_view ciphertext) = 0;
  virtual std::optional<StreamEvent> next() = 0;
  /// Only after Established.
  virtual void send(std::string_view plaintext) = 0;
  /// Sends close_notify.
  virtual void close() = 0;
  virtual std::string take_output() = 0;

  /// Where RSA keys are used outside (RsaKeys::Outside): the operation that the handshake has come to, once.
  /// Ask when next() has nothing more.
  virtual std::optional<KeyOperation> take_key_operation() = 0;
  /// Gives back the outcome; then next() goes on. Harmless when the connection has broken meanwhile.
  virtual void complete_key_operation(Result<std::string> outcome) = 0;

  /// The answer to NeedsCredential; then next() goes on. Where it failed, the source's default is served instead.
  /// Harmless when the connection has broken meanwhile.
  virtual void provide_credential(Result<std::shared_ptr<const Credential>> credential) = 0;

  virtual bool established() const = 0;
  virtual const HandshakeFacts& facts() const = 0;
  /// Server side: what the client sent (null before it was seen) and what was chosen. The Choice is kept until
  /// forget_handshake().
  virtual const ClientHello* hello() const = 0;
  virtual const Choice& choice() const = 0;
  /// Client side: the chain that the peer showed, leaf first, DER.
  virtual std::vector<std::string> peer_chain() const = 0;
  /// Drops ClientHello, choice and handshake state, to save memory, once they are logged.
  virtual void forget_handshake() = 0;
};

}  // namespace postern::tls
