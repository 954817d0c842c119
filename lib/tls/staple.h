// OCSP responses (RFC 6960) that are stapled to a handshake: read as far as a server has to know them, that is for which
// certificate, what they say, and for how long. Their signature is for clients to check.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/instant.h"
#include "base/result.h"
#include "tls/compat.h"

namespace postern::tls {

struct Staple {
  std::string der;
  WallTime this_update{};
  WallTime next_update{};

  /// A client whose clock is a little behind is no reason to drop what has just been made.
  bool is_fresh(WallTime now) const { return this_update <= now + std::chrono::minutes(5) && now < next_update; }

  friend bool operator==(const Staple&, const Staple&) = default;
};

/// Reads an OCSPResponse, DER, that says of `leaf` that it is good, whatever the time is; nothing when it is about other
/// certificates only. `issuer` may be null: then its key is not compared. Fails for what is damaged, is no successful
/// response, says that the certificate is revoked or unknown, or does not say until when it is good. `source` names the
/// file in errors.
Result<std::optional<Staple>> read_staple(std::string_view der, std::string_view source, const CRYPTO_BUFFER* leaf,
                                          const CRYPTO_BUFFER* issuer);

}  // namespace postern::tls
