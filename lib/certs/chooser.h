// Chooses the credential for one ClientHello at one listener: by name from the map, else the default of the listener
// or of the local address; ECDSA or RSA by what the client can verify.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/shared_view.h"
#include "certs/credential_cache.h"
#include "certs/snapshot.h"
#include "tls/credential.h"

namespace postern::certs {

/// Made once for each accepted connection: it pins the snapshot that was current then, until the handshake is over.
class Chooser : public tls::CredentialSource {
 public:
  /// `realm` tells apart what must not take each other's tickets although name and certificate are the same, such as
  /// listeners with different protocols; `default_certificate` is an id or name in
  /// `default_snapshot`: the map itself, or an older one while the default is missing from the newest. `cache`, which
  /// must outlive this, has what was read already of deferred credentials; null: nothing.
  Chooser(std::shared_ptr<const Snapshot> snapshot, std::string realm, std::string default_certificate,
          std::shared_ptr<const Snapshot> default_snapshot, CredentialCache* cache = nullptr);
  Chooser(const std::shared_ptr<const Snapshot>& snapshot, std::string realm, std::string default_certificate)
      : Chooser(snapshot, std::move(realm), std::move(default_certificate), snapshot) {}

  tls::Choice choose(const tls::ClientHello& hello) const noexcept override;
  tls::Choice choose_default(const tls::ClientHello& hello) const noexcept override;

 private:
  tls::Choice choose(const Found& found, const tls::ClientHello& hello) const noexcept;

  std::shared_ptr<const Snapshot> snapshot_;
  std::string realm_;
  std::string default_certificate_;
  std::shared_ptr<const Snapshot> default_snapshot_;
  CredentialCache* cache_;
};

}  // namespace postern::certs
