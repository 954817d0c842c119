// An MTA-STS policy (RFC 8461): the value, its text, the id in its TXT record, and which hosts it allows. No domains and
// no certificates: those are audit's.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "base/result.h"

namespace postern::mtasts {

/// What a sender does when an MX host does not pass (section 5).
enum class Mode {
  Enforce,  ///< it does not deliver
  Testing,  ///< it delivers, and reports (TLSRPT)
  None,     ///< there is no policy any more
};
std::string_view to_string(Mode mode);

/// One `mx` line: a host name, or `*.` and a name, which stands for exactly one label (section 4.1).
struct MxPattern {
  DnsName name;
  bool wildcard = false;  ///< `*.name`

  static std::optional<MxPattern> parse(std::string_view text);
  bool matches(const DnsName& host) const;
  std::string text() const;
  friend bool operator==(const MxPattern&, const MxPattern&) = default;
};

struct Policy {
  Mode mode = Mode::Testing;
  std::chrono::seconds max_age = std::chrono::hours(7 * 24);
  std::vector<MxPattern> mx;

  bool allows(const DnsName& host) const;
  friend bool operator==(const Policy&, const Policy&) = default;
};

constexpr std::chrono::seconds max_age_max{31'557'600};    ///< section 3.2
constexpr std::size_t policy_octets_max = 64 * 1024;       ///< what a sender must be ready to read (section 3.3)

/// The text that `https://mta-sts.DOMAIN/.well-known/mta-sts.txt` gives: CRLF lines (section 3.2).
std::string to_text(const Policy& policy);

/// Reads what another policy host gave, as leniently as section 3.2 asks a sender to be: LF or CRLF, unknown fields are
/// passed over, of a field that may stand once the first counts. The error says which line is wrong.
Result<Policy> parse_policy(std::string_view text);

/// The id of a policy's TXT record: made from its text, so that it changes when, and only when, the policy does.
std::string policy_id(const Policy& policy);

/// The value of `_mta-sts.DOMAIN TXT` (section 3.1): `v=STSv1; id=...;`
std::string txt_record(std::string_view id);

/// The id in such a record; nothing when it is another kind of record or malformed.
std::optional<std::string> id_in_txt_record(std::string_view record);

}  // namespace postern::mtasts
