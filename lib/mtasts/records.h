// The DNS records that a domain should have.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/address.h"
#include "dns/message.h"
#include "dns/zone.h"
#include "mtasts/domain.h"

namespace postern::mtasts {

struct PublishOptions {
  std::vector<IpAddress> policy_host_addresses;
  std::optional<DnsName> policy_host;  ///< instead of addresses: what mta-sts.DOMAIN is an alias of
  /// The TLSA records for the keys that a name is served with, and for the next one where there is to be one.
  std::function<std::vector<dns::TlsaRecord>(const DnsName& mx)> tlsa;
};

/// MX (preferences in the order of the names), TLSA for each, `_mta-sts`, `mta-sts` and `_smtp._tls` (RFC 8460).
std::vector<dns::Record> records_of(const Domain& domain, const PublishOptions& options);

/// The value of `_smtp._tls.DOMAIN TXT`.
std::string tlsrpt_record(std::string_view rua);

}  // namespace postern::mtasts
