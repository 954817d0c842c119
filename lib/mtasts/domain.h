// A mail domain as this library sees it: a view of what the configuration says about it.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"
#include "mtasts/policy.h"

namespace postern::mtasts {

struct Domain {
  const DnsName& name;
  std::span<const DnsName> mx;
  bool null_mx = false;             ///< RFC 7505
  const Policy* policy = nullptr;   ///< null: none
  std::string_view tlsrpt = {};     ///< `rua` of its TLSRPT record; empty: none

  /// Whether senders hold its MX hosts to anything.
  bool has_policy_in_force() const { return policy != nullptr && policy->mode != Mode::None; }
};

/// `mta-sts.DOMAIN`; nothing when that is too long to be a name.
std::optional<DnsName> policy_host_of(const DnsName& domain);

}  // namespace postern::mtasts
