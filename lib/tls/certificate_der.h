// What can be read off the DER of a certificate without making an X509 object of it, which costs many times more.
#pragma once

#include <optional>
#include <string_view>

#include "tls/compat.h"

namespace postern::tls {

/// Parts of a certificate, DER, pointing into it (RFC 5280 section 4.1).
struct CertificateParts {
  std::string_view serial;      ///< contents of the INTEGER
  std::string_view issuer;      ///< distinguished name, with its header
  std::string_view validity;    ///< contents: two times
  std::string_view subject;
  std::string_view key_info;    ///< subjectPublicKeyInfo, with its header
  std::string_view public_key;  ///< contents of subjectPublicKey, without the count of unused bits
  std::string_view extensions;  ///< contents of Extensions; empty when there are none
};

/// Nothing when it is not an X.509 structure.
std::optional<CertificateParts> parts_of(const CRYPTO_BUFFER* certificate);

}  // namespace postern::tls
