#include "daemon/tool/check.h"

#include "daemon/tool/configured.h"
#include "daemon/tool/dns_lookup.h"
#include "daemon/tool/policy_audit.h"

namespace postern::tool {

int check(const CheckArguments& arguments) {
  const auto servers = resolver_endpoints(arguments.resolvers);
  if (!servers) {
    complain(servers.error().text);
    return exit_usage;
  }
  const auto configured = read_configuration(arguments.configuration, Reading::Everything);
  if (!configured) {
    complain(configured.error().text);
    return exit_failure;
  }
  const auto domains = chosen_domains(**configured, arguments.domains);
  if (!domains) {
    complain(domains.error().text);
    return exit_failure;
  }
  mtasts::Findings findings;
  if (const auto done = audit_configuration(
          **configured, *domains,
          {.roots = arguments.roots, .expires_within_days = arguments.expires_within_days}, findings);
      !done) {
    complain(done.error().text);
    return exit_failure;
  }
  if (arguments.dns) {
    DnsLookup lookup(servers->empty() ? (*configured)->config.start.dns_servers : *servers);
    audit_dns(**configured, *domains, lookup, findings);
  }
  return report(findings, domains->size(), arguments.format);
}

}  // namespace postern::tool
