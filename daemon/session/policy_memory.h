// The file in `state_dir` that remembers which policies senders may still hold. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/dns_name.h"
#include "base/instant.h"
#include "base/result.h"
#include "delivery/settings.h"
#include "mtasts/memory.h"
#include "mtasts/policy_host.h"

namespace postern::session {

class PolicyMemory {
 public:
  /// An empty `state_dir`: nothing is remembered.
  explicit PolicyMemory(const std::string& state_dir);

  /// Gives a configuration that is about to go live what old policies still need: their hosts become `declared` (sorted),
  /// and a domain that has no policy any more gets `mode: none`. When the file is damaged nothing is added.
  Result<void> prepare(const std::vector<delivery::DomainSettings>& domains, mtasts::PolicyTable& policies,
                       std::vector<DnsName>& declared, WallTime now);

  /// What was prepared last is live now: stores it, if it is anything new.
  Result<void> commit();

  /// What was prepared last does not go live.
  void discard();

  /// What the file says, also of what has passed.
  Result<std::vector<mtasts::KeptHost>> kept() const;

 private:
  Result<std::string> stored() const;

  std::string path_;
  std::string on_disk_, prepared_;
  bool usable_ = false;
};

/// The domain as mtasts sees it; only for one with a name. Good as long as both are.
mtasts::Domain domain_view(const delivery::DomainSettings& domain, const mtasts::PolicyTable& policies);

/// Adds what old policies need to a configuration; see PolicyMemory::prepare().
void keep_hosts(const std::vector<mtasts::KeptHost>& kept, mtasts::PolicyTable& policies, std::vector<DnsName>& declared,
                WallTime now);

}  // namespace postern::session
