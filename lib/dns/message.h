// DNS answers (RFC 1035 section 4) as values: what a mail sender asks for, and whether a validating resolver vouches for
// it. Raw bytes in; no sockets, and no trust: whether the AD bit means anything is for those who know the resolver.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/result.h"

namespace postern::dns {

enum class Type : std::uint16_t { A = 1, Ns = 2, Cname = 5, Mx = 15, Txt = 16, Aaaa = 28, Tlsa = 52 };
std::string_view to_string(Type type);

struct MxRecord {
  std::uint16_t preference = 0;
  std::optional<DnsName> host;  ///< nothing: `.`, the domain takes no mail (RFC 7505)

  friend bool operator==(const MxRecord&, const MxRecord&) = default;
};

/// RFC 6698 section 2.1.
struct TlsaRecord {
  std::uint8_t usage = 0, selector = 0, matching = 0;
  std::string data;  ///< octets

  std::string text() const;  ///< `3 1 1 <hex>`
  friend bool operator==(const TlsaRecord&, const TlsaRecord&) = default;
};

/// What a name has of one type; nothing at all is an answer too.
struct Answer {
  enum class Existence {
    Known,     ///< NOERROR
    NoDomain,  ///< NXDOMAIN
  };
  Existence existence = Existence::Known;
  bool authentic = false;          ///< AD: the resolver says that it has checked the signatures (RFC 4035 section 3.2.3)
  std::uint32_t ttl_seconds = 0;   ///< the shortest of what led to the records
  std::vector<DnsName> ns;
  std::vector<MxRecord> mx;
  std::vector<std::string> txt;    ///< the strings of one record joined (RFC 7208 section 3.3)
  std::vector<TlsaRecord> tlsa;
  std::vector<IpAddress> addresses;
  std::size_t malformed = 0;       ///< records of the type that cannot be read, such as an MX whose host is no host name

  bool empty() const { return ns.empty() && mx.empty() && txt.empty() && tlsa.empty() && addresses.empty(); }
};

/// The header bits that decide what becomes of a message.
bool is_truncated(std::string_view message);

/// The answer to a question about `type`, also by way of CNAMEs. Fails when the server says that it failed, or with what
/// is no DNS message.
Result<Answer> read_answer(std::string_view message, Type type);

}  // namespace postern::dns
