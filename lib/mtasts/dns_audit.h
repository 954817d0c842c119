// What DNS says of a domain and its MX names, held against what the configuration wants and what is served. The answers
// are fetched by somebody else.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "dns/message.h"
#include "mtasts/domain.h"
#include "mtasts/findings.h"

namespace postern::mtasts {

struct DomainFacts {
  Result<dns::Answer> mx;           ///< of the domain
  Result<dns::Answer> sts;          ///< `_mta-sts` TXT
  Result<dns::Answer> policy_host;  ///< `mta-sts`, A and AAAA together; only where the domain has a policy
  Result<dns::Answer> tlsrpt;       ///< `_smtp._tls` TXT
};

struct MxFacts {
  Result<dns::Answer> addresses;    ///< A and AAAA together
  Result<dns::Answer> tlsa;
};

/// Whether the AD bit of the answers means anything (RFC 4035 section 4.9.3): not from a resolver at the other end of a
/// network that anybody can write to.
enum class ResolverTrust { Trusted, Untrusted };

/// A chain that is served, DER, leaf first, and where it is from.
struct ServedChain {
  std::string source;
  std::vector<std::string> certificates;
};

/// `addresses` are those that the policy host should have; empty: not known.
void compare_domain(const Domain& domain, const DomainFacts& facts, std::span<const IpAddress> addresses,
                    Findings& findings);

/// `chains`: what senders can get for this name, one for each kind of key.
void compare_mx(const DnsName& mx, const Domain& domain, const MxFacts& facts, ResolverTrust trust,
                std::span<const ServedChain> chains, Findings& findings);

}  // namespace postern::mtasts
