// What a leaf certificate says of itself.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "base/instant.h"
#include "base/result.h"
#include "tls/compat.h"
#include "tls/private_key.h"

namespace postern::tls {

using Digest = std::array<std::uint8_t, 32>;  // SHA-256

struct LeafFacts {
  std::vector<DnsName> names;         ///< dNSName SANs without wildcards; the common name where there is no SAN at all
  std::vector<DnsName> wildcards;     ///< the parents of `*.` SANs: example.com for *.example.com
  std::string subject;                ///< common name, escaped, for people
  std::string issuer;
  WallTime not_before{};
  WallTime not_after{};
  KeyKind key_kind = KeyKind::EcdsaP256;
  unsigned key_bits = 0;
  bool self_signed = false;
  Digest fingerprint{};               ///< SHA-256 of the DER
  bool covers(const DnsName& name) const;  ///< RFC 6125: exact, or one label under a wildcard

  friend bool operator==(const LeafFacts&, const LeafFacts&) = default;
};

struct ReadLeaf {
  LeafFacts facts;
  bssl::UniquePtr<EVP_PKEY> public_key;  ///< of a kind that is served
};

/// Errors begin with `source`. It is read off the DER: an X509 object takes three times as long, and there may be 10^5.
Result<ReadLeaf> read_leaf(const CRYPTO_BUFFER* certificate, std::string_view source);

/// Who issued a certificate, for people: a common name, else an organization, escaped.
std::string issuer_for_people(const CRYPTO_BUFFER& certificate);

}  // namespace postern::tls
