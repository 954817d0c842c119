#include "mtasts/policy_host.h"

#include <utility>

namespace postern::mtasts {

namespace {

constexpr std::string_view well_known_path = "/.well-known/mta-sts.txt";
constexpr std::string_view host_prefix = "mta-sts.";

/// The domain in `mta-sts.DOMAIN`, with or without a port.
std::optional<DnsName> domain_of(std::string_view host) {
  const auto name = DnsName::parse(host.substr(0, host.find(':')));
  if (!name || !name->text().starts_with(host_prefix)) return std::nullopt;
  return DnsName::parse(std::string_view(name->text()).substr(host_prefix.size()));
}

}  // namespace

void PolicyTable::add(const DnsName& domain, std::shared_ptr<const Policy> policy) {
  policies_.insert_or_assign(domain, std::move(policy));
}

const Policy* PolicyTable::find(const DnsName& domain) const {
  const auto found = policies_.find(domain);
  return found == policies_.end() ? nullptr : found->second.get();
}

http::Response answer_policy_request(const http::Request& request, const PolicyTable& policies) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads || request.target != well_known_path) return http::not_found();
  const auto domain = domain_of(request.host);
  const Policy* policy = domain ? policies.find(*domain) : nullptr;
  if (policy == nullptr) return http::not_found();
  http::Response response;
  response.content_type = "text/plain";
  response.body = to_text(*policy);
  // The TXT record's id says when to look again; what stands between us must not hold an old policy back.
  response.headers.emplace_back("Cache-Control", "no-cache");
  return response;
}

}  // namespace postern::mtasts
