// Whether the server at the other end is who it should be: its chain against trust anchors, its leaf against the name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/dns_name.h"
#include "base/instant.h"
#include "base/result.h"
#include "tls/compat.h"
#include "tls/credential.h"

namespace postern::tls {

/// Trust anchors from PEM. An anchor need not be self-signed: an intermediate or the server's own certificate will do.
/// `source` names the file in errors.
Result<bssl::UniquePtr<X509_STORE>> make_trust_store(std::string_view roots_pem,
                                                     std::string_view source = "trust anchors");

struct PeerFault {
  std::string reason;      ///< "the certificate of mx.example.com is not trusted: certificate has expired"
  std::uint8_t alert = 0;  ///< what to tell the peer (RFC 8446 section 6.2)
};

/// Nothing when `chain` (leaf first) leads to one of `roots`, is valid now by BoringSSL's clock, and covers `name`
/// (RFC 6125); without a name only the chain counts.
std::optional<PeerFault> check_peer(X509_STORE& roots, const STACK_OF(CRYPTO_BUFFER) * chain,
                                    const std::optional<DnsName>& name);

/// Where a chain leads, whatever names it is for.
enum class ChainEnd : std::uint8_t {
  Anchor,
  Nowhere,  ///< an issuer is neither in the chain nor among the anchors
  Refused,  ///< anything else: self-signed, a wrong signature, no CA certificate, not valid at that time
};
/// For a server's own chain, leaf first. About half a millisecond when there are signatures to be verified.
ChainEnd follow_chain(X509_STORE& roots, const Chain& chain, WallTime at);

}  // namespace postern::tls
