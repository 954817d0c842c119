// PEM blocks (RFC 7468), read leniently where operators' files are sloppy: CRLF, text between blocks, and two files
// joined without a line break. Knows nothing of certificates.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern::tls {

struct PemBlock {
  std::string_view label;   ///< "CERTIFICATE", "PRIVATE KEY", ...; points into the text that was read
  std::string_view base64;  ///< the body, line breaks included
  std::size_t line = 0;     ///< of its BEGIN, from 1
  bool encrypted = false;   ///< RFC 1421 headers say that the body is encrypted
};

/// Every block in order. `source` names the file in errors. Fails when a block has no end.
Result<std::vector<PemBlock>> read_pem(std::string_view text, std::string_view source);

/// The octets of a block; fails when the body is not base64. A caller that decodes a secret cleanses the result.
Result<std::string> decode_pem(const PemBlock& block, std::string_view source);

/// A block of these octets.
std::string to_pem(std::string_view label, std::string_view octets);

}  // namespace postern::tls
