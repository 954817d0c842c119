#include "daemon/app/expiry.h"

#include <algorithm>

namespace postern::app {

std::vector<Expiring> next_to_expire(const certs::Snapshot& snapshot, std::size_t count_max) {
  struct Candidate {
    const tls::Credential* credential;
    std::string name;
  };
  std::vector<Candidate> soonest;  // sorted
  const auto ends = [](const Candidate& candidate) { return candidate.credential->leaf.not_after; };
  const auto look = [&](std::string_view name, const tls::Credential* credential) {
    if (credential == nullptr) return;
    const bool full = soonest.size() >= count_max;
    if (full && (soonest.empty() || credential->leaf.not_after >= ends(soonest.back()))) return;
    const bool known = std::any_of(soonest.begin(), soonest.end(),
                                   [&](const Candidate& each) { return each.credential == credential; });
    if (known) return;
    if (full) soonest.pop_back();
    const auto behind = std::upper_bound(soonest.begin(), soonest.end(), credential->leaf.not_after,
                                         [&](WallTime time, const Candidate& each) { return time < ends(each); });
    soonest.insert(behind, {credential, std::string(name)});
  };
  snapshot.each([&](std::string_view key, const certs::Entry& entry) {
    look(key, entry.ecdsa.get());
    look(key, entry.rsa.get());
  });
  std::vector<Expiring> made;
  for (Candidate& each : soonest) made.push_back({std::move(each.name), ends(each)});
  return made;
}

}  // namespace postern::app
