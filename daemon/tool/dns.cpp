#include "daemon/tool/dns.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_set>

#include "daemon/session/policy_memory.h"
#include "daemon/tool/configured.h"
#include "daemon/tool/dns_lookup.h"
#include "daemon/tool/policy_audit.h"
#include "mtasts/records.h"
#include "mtasts/tlsa.h"
#include "tls/public_key.h"

namespace postern::tool {

namespace {

constexpr std::size_t key_octets_max = 1024 * 1024;

class ZonePrinter {
 public:
  ZonePrinter(const Configured& configured, std::vector<dns::TlsaRecord> next, std::uint32_t ttl_seconds)
      : configured_(configured), next_(std::move(next)), ttl_seconds_(ttl_seconds) {
    options_.policy_host_addresses = policy_host_addresses(configured);
    options_.policy_host = configured.config.run.published.policy_host;
    options_.tlsa = [this](const DnsName& mx) { return tlsa_of(mx); };
  }

  std::string text(const delivery::DomainSettings& settings) {
    remarks_.clear();
    const auto domain = session::domain_view(settings, *configured_.config.run.policies);
    const auto records = mtasts::records_of(domain, options_);
    std::vector<dns::Record> inside, outside;
    const std::string zone = dns::absolute(domain.name);
    for (const dns::Record& record : records) {
      const bool within = record.owner == zone || record.owner.ends_with('.' + zone);
      (within ? inside : outside).push_back(record);
    }
    std::string made = fmt::format("; {}\n", domain.name.text()) + zone_text(inside, ttl_seconds_);
    if (!outside.empty()) made += "; in the zone of the MX name\n" + zone_text(outside, ttl_seconds_);
    if (domain.policy != nullptr && !options_.policy_host && options_.policy_host_addresses.empty()) {
      made += fmt::format("; mta-sts.{} needs A and AAAA records: set dns.addresses to know them\n", zone);
    }
    return made + remarks_;
  }

 private:
  /// Once for each MX name, however many domains have it.
  std::vector<dns::TlsaRecord> tlsa_of(const DnsName& mx) {
    if (!printed_.insert(mx.text()).second) return {};
    std::vector<dns::TlsaRecord> records;
    const auto add = [&](const dns::TlsaRecord& record) {
      if (std::find(records.begin(), records.end(), record) == records.end()) records.push_back(record);
    };
    if (configured_.map->find(mx).entry == nullptr) {
      remarks_ += fmt::format("; {} has no certificate of its own: what is served for it is the default\n", mx.text());
    }
    for (const auto& credential : served_credentials(configured_, mx)) {
      if (const auto info = tls::public_key_info(credential->chain.front().get())) add(mtasts::tlsa_of_key(*info));
    }
    for (const dns::TlsaRecord& record : next_) add(record);
    return records;
  }

  const Configured& configured_;
  std::vector<dns::TlsaRecord> next_;
  std::uint32_t ttl_seconds_;
  mtasts::PublishOptions options_;
  std::unordered_set<std::string> printed_;
  std::string remarks_;
};

Result<std::vector<dns::TlsaRecord>> read_next_keys(const std::vector<std::string>& paths) {
  const auto files = certs::make_local_file_source();
  std::vector<dns::TlsaRecord> records;
  for (const std::string& path : paths) {
    const auto contents = files->read(path, key_octets_max);
    if (!contents) return fail_with(contents.error());
    const auto info = tls::public_key_info_of_pem(contents->bytes, path);
    if (!info) return fail_with(info.error());
    records.push_back(mtasts::tlsa_of_key(*info));
  }
  return records;
}

}  // namespace

int dns(const DnsArguments& arguments) {
  const auto failed = [](const Error& error) {
    complain(error.text);
    return exit_failure;
  };
  const auto servers = resolver_endpoints(arguments.resolvers);
  if (!servers) return failed(servers.error());
  auto next = read_next_keys(arguments.next_keys);
  if (!next) return failed(next.error());
  const auto configured = read_configuration(arguments.configuration, Reading::AsConfigured);
  if (!configured) return failed(configured.error());
  const auto domains = chosen_domains(**configured, arguments.domains);
  if (!domains) return failed(domains.error());
  if (arguments.check) {
    DnsLookup lookup(servers->empty() ? (*configured)->config.start.dns_servers : *servers);
    mtasts::Findings findings;
    audit_dns(**configured, *domains, lookup, findings);
    return report(findings, domains->size(), arguments.format);
  }
  ZonePrinter printer(**configured, std::move(*next), arguments.ttl_seconds);
  for (const auto* domain : *domains) print(printer.text(*domain));
  return exit_ok;
}

}  // namespace postern::tool
