// Chooses the credential for one ClientHello at one listener: by name from the map, else the default of the listener
// or of the local address; ECDSA or RSA by what the client can verify.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/shared_view.h"
#include "certs/snapshot.h"
#include "tls/credential.h"

namespace postern::certs {

/// Made once for each accepted connection: it pins the snapshot that was current then, until the handshake is over.
class Chooser : public tls::CredentialSource {
 public:
  /// `listener` tells listeners apart in ticket identities; `default_certificate` is an id or name in
  /// `default_snapshot`: the map itself, or an older one while the default is missing from the newest.
  Chooser(std::shared_ptr<const Snapshot> snapshot, std::string listener, std::string default_certificate,
          std::shared_ptr<const Snapshot> default_snapshot);
  Chooser(const std::shared_ptr<const Snapshot>& snapshot, std::string listener, std::string default_certificate)
      : Chooser(snapshot, std::move(listener), std::move(default_certificate), snapshot) {}

  tls::Choice choose(const tls::ClientHello& hello) const noexcept override;

 private:
  std::shared_ptr<const Snapshot> snapshot_;
  std::string listener_;
  std::string default_certificate_;
  std::shared_ptr<const Snapshot> default_snapshot_;
};

}  // namespace postern::certs
