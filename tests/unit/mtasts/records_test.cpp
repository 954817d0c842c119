#include "mtasts/records.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

DnsName name(std::string_view text) { return *DnsName::parse(text); }

}  // namespace

TEST_CASE("the records of a domain", "[records]") {
  const DnsName domain = name("example.com");
  const std::vector<DnsName> mx{name("mx1.example.com"), name("mx2.example.net")};
  Policy policy;
  policy.mx = {*MxPattern::parse("mx1.example.com")};
  PublishOptions options;
  options.policy_host_addresses = {*IpAddress::parse("192.0.2.1"), *IpAddress::parse("2001:db8::1")};
  options.tlsa = [](const DnsName& host) {
    return host.text() == "mx1.example.com" ? std::vector<dns::TlsaRecord>{{3, 1, 1, "\xab"}} : std::vector<dns::TlsaRecord>{};
  };
  const auto records = records_of({domain, mx, false, &policy, "mailto:tls@example.com"}, options);
  const std::vector<dns::Record> wanted{
      {"example.com.", "MX", "10 mx1.example.com."},
      {"example.com.", "MX", "20 mx2.example.net."},
      {"_25._tcp.mx1.example.com.", "TLSA", "3 1 1 ab"},
      {"_mta-sts.example.com.", "TXT", "\"v=STSv1; id=" + policy_id(policy) + ";\""},
      {"mta-sts.example.com.", "A", "192.0.2.1"},
      {"mta-sts.example.com.", "AAAA", "2001:db8::1"},
      {"_smtp._tls.example.com.", "TXT", "\"v=TLSRPTv1; rua=mailto:tls@example.com\""}};
  CHECK(records == wanted);
  options.policy_host = name("sts.example.net");
  CHECK(records_of({domain, {}, false, &policy}, options).back() ==
        dns::Record{"mta-sts.example.com.", "CNAME", "sts.example.net."});
}

TEST_CASE("a domain that takes no mail has the null MX", "[records]") {
  const DnsName domain = name("example.com");
  CHECK(records_of({domain, {}, true}, {}) == std::vector<dns::Record>{{"example.com.", "MX", "0 ."}});
}
