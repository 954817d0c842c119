// Whether a sender in MTA-STS's enforce mode would have sent over a connection: one decision, for log and score.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/dns_name.h"
#include "report/event.h"

namespace postern::report {

/// The MX names of the domains of one configuration generation; immutable once it is shared. Domains that have the same
/// list share it.
class MxTable {
 public:
  using Names = std::vector<DnsName>;
  /// A domain that is there already keeps what it has.
  void add(const DnsName& domain, Names names);
  /// Empty: the domain is not known, or its MX names are not.
  std::span<const DnsName> find(const DnsName& domain) const;
  /// Whether some domain has this MX name.
  bool has_host(const DnsName& name) const { return hosts_.contains(name.text()); }
  const std::unordered_map<DnsName, std::shared_ptr<const Names>>& all() const { return names_; }

 private:
  std::unordered_map<DnsName, std::shared_ptr<const Names>> names_;
  std::unordered_set<std::string_view> hosts_;  // into the lists
  std::shared_ptr<const Names> last_;
};

/// The certificate that was served, as far as it matters here.
struct Served {
  bool covers_name = false;    ///< the name in SNI; without one, some MX name of the domain
  enum class Time : std::uint8_t { Valid, Expired, NotYetValid } time = Time::Valid;
  enum class Chain : std::uint8_t { Trusted, Untrusted } chain = Chain::Trusted;
};

/// `server_name` is that of the ClientHello, if it was a host name. Where the domain's MX names are not known, what the
/// sender asks for is taken for one.
Sts judge(const DnsName& domain, std::span<const DnsName> mx, const std::optional<DnsName>& server_name,
          const Served& served);

}  // namespace postern::report
