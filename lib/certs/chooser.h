// Chooses the credential for one ClientHello at one listener: by name from the map, else the default of the listener
// or of the local address; ECDSA or RSA by what the client can verify.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/shared_view.h"
#include "certs/snapshot.h"
#include "tls/credential.h"

namespace postern::certs {

/// Made once for each accepted connection: it pins the snapshot that was current then, until the handshake is over.
class Chooser : public tls::CredentialSource {
 public:
  /// `listener` tells listeners apart in ticket identities; `default_certificate` is an id or name in the map.
  Chooser(std::shared_ptr<const Snapshot> snapshot, std::string listener, std::string default_certificate);

  tls::Choice choose(const tls::ClientHello& hello) const noexcept override;

 private:
  std::shared_ptr<const Snapshot> snapshot_;
  std::string listener_;
  std::string default_certificate_;
};

}  // namespace postern::certs
