#include "delivery/plan.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"
#include "smtp/replies.h"

namespace postern::delivery {

namespace {

/// The names that RFC 2142 wants at every domain, and that people write to when something is wrong.
bool is_role_for_everybody(std::string_view local_part) {
  return equals_ignoring_case(local_part, "postmaster") || equals_ignoring_case(local_part, "abuse");
}

/// MTAs have read these as routes (`user%host`, `host!user`, `@a:b@c`), files, commands and options. A quoted local part
/// can hold any of them.
bool is_dangerous(std::string_view local_part) {
  return local_part.starts_with('-') || local_part.find_first_of("%!@/|") != std::string_view::npos;
}

}  // namespace

RouteTable::RouteTable(std::vector<BackendSettings> backends, std::vector<DomainSettings> domains,
                       std::optional<smtp::Mailbox> postmaster, std::vector<SniRoute> sni_routes)
    : backends_(std::move(backends)), postmaster_(std::move(postmaster)) {
  std::unordered_map<std::string_view, std::size_t> by_name;
  for (std::size_t i = 0; i < backends_.size(); ++i) by_name.emplace(backends_[i].name, i);
  std::set<std::size_t> used;
  by_domain_.reserve(domains.size());
  for (auto& domain : domains) {
    if (domain.null_mx && domain.name) without_mail_.insert(*domain.name);
    const auto backend = by_name.find(domain.backend);
    if (backend == by_name.end()) continue;
    if (!domain.null_mx) used.insert(backend->second);
    if (backends_[backend->second].pass_through) domains_pass_through_ = true;
    if (domain.name) {
      by_domain_.emplace(std::move(*domain.name), backend->second);
    } else {
      catch_all_ = backend->second;
    }
  }
  of_domains_.assign(used.begin(), used.end());
  for (auto& route : sni_routes) {
    const auto backend = by_name.find(route.backend);
    if (backend == by_name.end()) continue;
    auto& table = route.covers == SniRoute::Covers::Name ? by_sni_ : by_parent_sni_;
    table.emplace(std::move(route.name), backend->second);
  }
}

std::vector<const BackendSettings*> RouteTable::reachable(const BackendSettings* session_backend) const {
  if (session_backend != nullptr) return {session_backend};
  std::vector<const BackendSettings*> made;
  for (const auto index : of_domains_) made.push_back(&backends_[index]);
  return made;
}

const BackendSettings* RouteTable::session_backend(const std::optional<DnsName>& server_name,
                                                   const std::string& listener_backend) const {
  if (server_name) {
    if (const auto exact = by_sni_.find(*server_name); exact != by_sni_.end()) return &backends_[exact->second];
    if (const auto parent = DnsName::parse(server_name->parent())) {
      if (const auto found = by_parent_sni_.find(*parent); found != by_parent_sni_.end()) return &backends_[found->second];
    }
  }
  return find(listener_backend);
}

const BackendSettings* RouteTable::find(std::string_view backend) const {
  const auto found = std::find_if(backends_.begin(), backends_.end(),
                                  [backend](const BackendSettings& candidate) { return candidate.name == backend; });
  return found == backends_.end() ? nullptr : &*found;
}

std::optional<std::size_t> RouteTable::backend_of(const smtp::Mailbox& mailbox) const {
  const auto domain = mailbox.domain_name();
  if (!domain) return std::nullopt;
  const auto found = by_domain_.find(*domain);
  return found == by_domain_.end() ? catch_all_ : std::optional(found->second);
}

tl::expected<RouteTable::Route, smtp::Reply> RouteTable::route(const smtp::ForwardPath& to,
                                                             const BackendSettings* session_backend) const {
  auto route = route_by_domain(to);
  if (!route || session_backend == nullptr) return route;
  route->backend = session_backend;
  if (route->fallback) route->fallback_backend = session_backend;
  return route;
}

tl::expected<RouteTable::Route, smtp::Reply> RouteTable::route_by_domain(const smtp::ForwardPath& to) const {
  if (to.is_bare_postmaster()) return route_bare_postmaster(to);
  const auto domain = to.mailbox.domain_name();
  if (!domain) {
    const bool literal = to.mailbox.domain.starts_with('[');
    return tl::unexpected<smtp::Reply>(literal ? smtp::replies::relay_denied : smtp::replies::bad_domain);
  }
  if (without_mail_.contains(*domain)) return tl::unexpected<smtp::Reply>(smtp::replies::domain_takes_no_mail);
  const auto hosted = by_domain_.find(*domain);
  if (hosted == by_domain_.end() && !catch_all_) return tl::unexpected<smtp::Reply>(smtp::replies::relay_denied);

  const auto& backend = backends_[hosted == by_domain_.end() ? *catch_all_ : hosted->second];
  if (backend.local_parts == LocalParts::Safe && is_dangerous(to.mailbox.local_part)) {
    return tl::unexpected<smtp::Reply>(smtp::replies::mailbox_syntax_refused);
  }
  Route made{&backend, to, std::nullopt, nullptr};
  // A domain that only passes through (the catch-all) has a postmaster of its own.
  const bool ours = hosted != by_domain_.end() && is_role_for_everybody(to.mailbox.local_part);
  if (!ours || !postmaster_ || *postmaster_ == to.mailbox) return made;
  if (const auto fallback = backend_of(*postmaster_)) {
    made.fallback = smtp::ForwardPath{*postmaster_};
    made.fallback_backend = &backends_[*fallback];
  }
  return made;
}

tl::expected<RouteTable::Route, smtp::Reply> RouteTable::route_bare_postmaster(const smtp::ForwardPath& to) const {
  if (postmaster_) {
    if (const auto backend = backend_of(*postmaster_)) {
      return Route{&backends_[*backend], smtp::ForwardPath{*postmaster_}, std::nullopt, nullptr};
    }
  }
  if (backends_.empty()) return tl::unexpected<smtp::Reply>(smtp::replies::relay_denied);
  return Route{&backends_[catch_all_.value_or(0)], to, std::nullopt, nullptr};
}

}  // namespace postern::delivery
