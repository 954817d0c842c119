#include "report/sts.h"

#include <algorithm>
#include <utility>

namespace postern::report {

void MxTable::add(const DnsName& domain, Names names) {
  if (names.empty() || names_.contains(domain)) return;
  if (!last_ || *last_ != names) {
    last_ = std::make_shared<const Names>(std::move(names));
    for (const DnsName& name : *last_) hosts_.insert(name.text());
  }
  names_.emplace(domain, last_);
}

std::span<const DnsName> MxTable::find(const DnsName& domain) const {
  const auto found = names_.find(domain);
  return found == names_.end() ? std::span<const DnsName>() : std::span<const DnsName>(*found->second);
}

Sts judge(const DnsName& domain, std::span<const DnsName> mx, const std::optional<DnsName>& server_name,
          const Served& served) {
  const bool foreign = server_name && !mx.empty() && std::find(mx.begin(), mx.end(), *server_name) == mx.end();
  if (foreign) return *server_name == domain ? Sts::DomainAsSni : Sts::OtherMx;
  if (!served.covers_name) return Sts::Name;
  if (served.time == Served::Time::Expired) return Sts::Expired;
  if (served.time == Served::Time::NotYetValid) return Sts::NotYetValid;
  return served.chain == Served::Chain::Trusted ? Sts::Pass : Sts::Untrusted;
}

}  // namespace postern::report
