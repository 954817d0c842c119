// SSL_CTX for a listener (one each, never one for a certificate) and for outbound connections: versions, ciphers,
// groups, tickets, ALPN, and the early callback through which a CredentialSource gives each handshake its chain and key.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "tls/compat.h"
#include "tls/credential.h"
#include "tls/settings.h"
#include "tls/ticket_keys.h"

namespace postern::tls {

/// Which application protocols a listener takes (DESIGN section 7, ALPN).
enum class Application { Smtp, Https };

/// Immutable, shared by the connections of a listener on all threads.
class ServerContext {
 public:
  /// Fails only for want of memory or for a version that the library does not have.
  /// `ticket_keys`, which must have published something, may be shared by many contexts; null: BoringSSL makes keys of
  /// its own, which end with the context.
  static Result<std::shared_ptr<const ServerContext>> make(const TlsSettings& settings, Application application,
                                                           std::shared_ptr<const TicketKeyring> ticket_keys = nullptr);
  SSL_CTX* get() const { return context_.get(); }
  const TlsSettings& settings() const { return settings_; }
  const TicketKeyring* ticket_keys() const { return ticket_keys_.get(); }

 private:
  TlsSettings settings_;
  std::shared_ptr<const TicketKeyring> ticket_keys_;
  bssl::UniquePtr<SSL_CTX> context_;
};

/// How the server at the other end is checked, and who we are to it.
struct PeerCheck {
  enum class Mode { None, Roots };
  Mode mode = Mode::None;
  std::string roots_pem;                                ///< trust anchors for Mode::Roots
  std::shared_ptr<const Credential> credential = nullptr;  ///< shown to a server that asks for one; null: none
  RsaKeys rsa_keys = RsaKeys::Inline;                      ///< of the credential; see TlsSettings
};

class ClientContext {
 public:
  /// Fails when `roots_pem` holds no usable certificate.
  static Result<std::shared_ptr<const ClientContext>> make(const PeerCheck& check);
  SSL_CTX* get() const { return context_.get(); }
  /// Null: the peer is not checked.
  X509_STORE* roots() const { return roots_.get(); }
  /// Null: none is shown.
  const std::shared_ptr<const Credential>& credential() const { return credential_; }

 private:
  std::shared_ptr<const Credential> credential_;
  bssl::UniquePtr<X509_STORE> roots_;
  bssl::UniquePtr<SSL_CTX> context_;
};

}  // namespace postern::tls
