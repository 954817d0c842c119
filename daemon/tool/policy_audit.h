// Domains, policies, certificates and DNS held against each other, for `postern check` and `postern dns --check`: what
// lib/mtasts judges, fetched and printed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "certs/loader.h"
#include "daemon/tool/configured.h"
#include "daemon/tool/dns_lookup.h"
#include "daemon/tool/output.h"
#include "mtasts/findings.h"

namespace postern::tool {

struct AuditRequest {
  std::string roots;                    ///< path of a PEM file of anchors; empty: the system's
  std::uint64_t expires_within_days = 0;
};

/// What needs no network.
Result<void> audit_configuration(const Configured& configured, const std::vector<const delivery::DomainSettings*>& domains,
                                 const AuditRequest& request, mtasts::Findings& findings);

/// What DNS says. Asks for some hundred domains at a time.
void audit_dns(const Configured& configured, const std::vector<const delivery::DomainSettings*>& domains, DnsLookup& lookup,
               mtasts::Findings& findings);

/// What `dns.addresses`, or the listeners, say of the policy host.
std::vector<IpAddress> policy_host_addresses(const Configured& configured);

std::string findings_text(const mtasts::Findings& findings, std::uint64_t domains);
std::string findings_json(const mtasts::Findings& findings, std::uint64_t domains);

/// Prints them; returns the exit code.
int report(const mtasts::Findings& findings, std::uint64_t domains, Format format);

}  // namespace postern::tool
