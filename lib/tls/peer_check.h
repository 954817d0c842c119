// Whether the server at the other end is who it should be: its chain against trust anchors, its leaf against the name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/dns_name.h"
#include "base/result.h"
#include "tls/compat.h"

namespace postern::tls {

/// Trust anchors from PEM. An anchor need not be self-signed: an intermediate or the server's own certificate will do.
Result<bssl::UniquePtr<X509_STORE>> make_trust_store(std::string_view roots_pem);

struct PeerFault {
  std::string reason;      ///< "the certificate of mx.example.com is not trusted: certificate has expired"
  std::uint8_t alert = 0;  ///< what to tell the peer (RFC 8446 section 6.2)
};

/// Nothing when `chain` (leaf first) leads to one of `roots`, is valid now by BoringSSL's clock, and covers `name`
/// (RFC 6125); without a name only the chain counts.
std::optional<PeerFault> check_peer(X509_STORE& roots, const STACK_OF(CRYPTO_BUFFER) * chain,
                                    const std::optional<DnsName>& name);

}  // namespace postern::tls
