#include "mtasts/tlsa.h"

#include <algorithm>
#include <array>

#include "tls/compat.h"
#include "tls/digest.h"
#include "tls/public_key.h"

namespace postern::mtasts {

namespace {

template <class Digest>
std::string as_text(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string digested(std::uint8_t matching, const std::string& octets) {
  if (matching == 0) return octets;
  if (matching == 1) return as_text(tls::sha256(octets));
  std::array<std::uint8_t, SHA512_DIGEST_LENGTH> digest{};
  SHA512(reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size(), digest.data());
  return as_text(digest);
}

}  // namespace

std::string tlsa_owner(const DnsName& mx) { return "_25._tcp." + mx.text(); }

dns::TlsaRecord tlsa_of_key(std::string_view key_info) { return {3, 1, 1, as_text(tls::sha256(key_info))}; }

bool is_usable(const dns::TlsaRecord& record) {
  return (record.usage == 2 || record.usage == 3) && record.selector <= 1 && record.matching <= 2;
}

std::optional<std::size_t> matched_certificate(const dns::TlsaRecord& record, const std::vector<std::string>& chain) {
  const std::size_t looked_at = record.usage == 3 ? std::min<std::size_t>(1, chain.size()) : chain.size();
  for (std::size_t i = 0; i < looked_at; ++i) {
    const auto selected = record.selector == 0 ? std::optional(chain[i]) : tls::public_key_info_of_der(chain[i]);
    if (selected && digested(record.matching, *selected) == record.data) return i;
  }
  return std::nullopt;
}

}  // namespace postern::mtasts
