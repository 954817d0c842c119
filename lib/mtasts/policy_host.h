// What the policy host answers (RFC 8461 section 3.3): the policy of DOMAIN at
// https://mta-sts.DOMAIN/.well-known/mta-sts.txt, and nothing else. No sockets and no TLS.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/dns_name.h"
#include "http/server_core.h"
#include "mtasts/policy.h"

namespace postern::mtasts {

/// The policies of one configuration generation; immutable once it is shared. Domains whose policies are equal share
/// one, so that a policy without `{domain}` in it costs 10^6 domains little.
class PolicyTable {
 public:
  void add(const DnsName& domain, std::shared_ptr<const Policy> policy);
  /// Null: the domain has none.
  const Policy* find(const DnsName& domain) const;
  std::size_t size() const { return policies_.size(); }

 private:
  std::unordered_map<DnsName, std::shared_ptr<const Policy>> policies_;
};

/// GET and HEAD of the well-known path for a Host that has a policy; everything else is `404`. No redirect ever: a sender
/// must not follow one (section 3.3).
http::Response answer_policy_request(const http::Request& request, const PolicyTable& policies);

}  // namespace postern::mtasts
