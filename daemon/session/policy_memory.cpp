#include "daemon/session/policy_memory.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "daemon/session/state_file.h"

namespace postern::session {

namespace {

constexpr std::string_view file_name = "/policies";

/// What a domain says that had a policy and has none any more (RFC 8461 section 8.3).
std::shared_ptr<const mtasts::Policy> no_policy() {
  auto policy = std::make_shared<mtasts::Policy>();
  policy->mode = mtasts::Mode::None;
  policy->max_age = std::chrono::hours(24);
  return policy;
}

std::vector<mtasts::Domain> sorted_views(const std::vector<delivery::DomainSettings>& domains,
                                         const mtasts::PolicyTable& policies) {
  std::vector<const delivery::DomainSettings*> sorted;
  for (const auto& domain : domains) {
    if (domain.name && policies.find(*domain.name) != nullptr) sorted.push_back(&domain);
  }
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return *a->name < *b->name; });
  std::vector<mtasts::Domain> views;
  views.reserve(sorted.size());
  for (const auto* domain : sorted) views.push_back(domain_view(*domain, policies));
  return views;
}

}  // namespace

mtasts::Domain domain_view(const delivery::DomainSettings& domain, const mtasts::PolicyTable& policies) {
  return {.name = *domain.name,
          .mx = domain.mx,
          .null_mx = domain.null_mx,
          .policy = policies.find(*domain.name),
          .tlsrpt = domain.tlsrpt ? std::string_view(*domain.tlsrpt) : std::string_view()};
}

void keep_hosts(const std::vector<mtasts::KeptHost>& kept, mtasts::PolicyTable& policies, std::vector<DnsName>& declared,
                WallTime now) {
  const auto none = no_policy();
  bool added = false;
  for (const mtasts::KeptHost& host : kept) {
    if (host.until <= now) continue;
    declared.push_back(host.name);
    added = true;
    if (policies.find(host.domain) == nullptr) policies.add(host.domain, none);
  }
  if (!added) return;
  std::sort(declared.begin(), declared.end());
  declared.erase(std::unique(declared.begin(), declared.end()), declared.end());
}

PolicyMemory::PolicyMemory(const std::string& state_dir)
    : path_(state_dir.empty() ? std::string() : state_dir + std::string(file_name)) {}

Result<void> PolicyMemory::prepare(const std::vector<delivery::DomainSettings>& domains, mtasts::PolicyTable& policies,
                                   std::vector<DnsName>& declared, WallTime now) {
  usable_ = false;
  if (path_.empty()) return {};
  auto text = stored();
  if (!text) return fail_with(text.error());
  auto remembered = mtasts::remember(*text, sorted_views(domains, policies), now);
  if (!remembered) {
    return fail("{}: {}; until it is mended or removed, nothing is kept for senders that hold an old policy", path_,
                remembered.error().text);
  }
  on_disk_ = std::move(*text);
  prepared_ = std::move(remembered->text);
  usable_ = true;
  keep_hosts(remembered->kept, policies, declared, now);
  return {};
}

Result<void> PolicyMemory::commit() {
  if (!usable_) return {};
  usable_ = false;
  const std::string before = std::exchange(on_disk_, {});
  const std::string now = std::exchange(prepared_, {});
  if (before == now) return {};
  return replace_file(path_, now);
}

void PolicyMemory::discard() {
  usable_ = false;
  on_disk_ = prepared_ = {};
}

Result<std::vector<mtasts::KeptHost>> PolicyMemory::kept() const {
  const auto text = stored();
  if (!text) return fail_with(text.error());
  auto hosts = mtasts::kept_hosts(*text);
  if (!hosts) return fail("{}: {}", path_, hosts.error().text);
  return hosts;
}

Result<std::string> PolicyMemory::stored() const {
  std::error_code error;
  if (path_.empty() || !std::filesystem::exists(path_, error)) {
    if (error) return fail("{}: {}", path_, error.message());
    return std::string();
  }
  return read_state_file(path_);
}

}  // namespace postern::session
