#include "mtasts/records.h"

#include <fmt/format.h>

#include "mtasts/tlsa.h"

namespace postern::mtasts {

namespace {

constexpr unsigned preference_step = 10;

void add_policy(const Domain& domain, const PublishOptions& options, std::vector<dns::Record>& records) {
  const std::string name = dns::absolute(domain.name);
  records.push_back({"_mta-sts." + name, "TXT", dns::text_data(txt_record(policy_id(*domain.policy)))});
  const std::string host = "mta-sts." + name;
  if (options.policy_host) {
    records.push_back({host, "CNAME", dns::absolute(*options.policy_host)});
    return;
  }
  for (const IpAddress& address : options.policy_host_addresses) {
    records.push_back({host, address.is_v4() ? "A" : "AAAA", address.text()});
  }
}

}  // namespace

std::optional<DnsName> policy_host_of(const DnsName& domain) { return DnsName::parse("mta-sts." + domain.text()); }

std::string tlsrpt_record(std::string_view rua) { return fmt::format("v=TLSRPTv1; rua={}", rua); }

std::vector<dns::Record> records_of(const Domain& domain, const PublishOptions& options) {
  std::vector<dns::Record> records;
  const std::string name = dns::absolute(domain.name);
  if (domain.null_mx) records.push_back({name, "MX", "0 ."});
  unsigned preference = 0;
  for (const DnsName& mx : domain.mx) {
    records.push_back({name, "MX", fmt::format("{} {}", preference += preference_step, dns::absolute(mx))});
  }
  for (const DnsName& mx : domain.mx) {
    for (const dns::TlsaRecord& record : options.tlsa(mx)) {
      records.push_back({tlsa_owner(mx) + '.', "TLSA", record.text()});
    }
  }
  if (domain.policy != nullptr) add_policy(domain, options, records);
  if (!domain.tlsrpt.empty()) {
    records.push_back({"_smtp._tls." + name, "TXT", dns::text_data(tlsrpt_record(domain.tlsrpt))});
  }
  return records;
}

}  // namespace postern::mtasts
