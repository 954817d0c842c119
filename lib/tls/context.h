// SSL_CTX for a listener (one each, never one for a certificate) and for outbound connections: versions, ciphers,
// groups, tickets, ALPN, and the early callback through which a CredentialSource gives each handshake its chain and key.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "tls/compat.h"
#include "tls/settings.h"

namespace postern::tls {

/// Which application protocols a listener takes (DESIGN section 7, ALPN).
enum class Application { Smtp, Https };

class ServerContext {
 public:
  static Result<std::shared_ptr<const ServerContext>> make(const TlsSettings& settings, Application application);
  SSL_CTX* get() const { return context_.get(); }

 private:
  bssl::UniquePtr<SSL_CTX> context_;
};

/// How the server at the other end is checked.
struct PeerCheck {
  enum class Mode { None, Roots };
  Mode mode = Mode::None;
  std::string roots_pem;  ///< trust anchors for Mode::Roots
};

class ClientContext {
 public:
  static Result<std::shared_ptr<const ClientContext>> make(const PeerCheck& check);
  SSL_CTX* get() const { return context_.get(); }

 private:
  bssl::UniquePtr<SSL_CTX> context_;
};

}  // namespace postern::tls
