#include "mtasts/dns_audit.h"

#include "mtasts/records.h"
#include "mtasts/tlsa.h"
#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tls/pem.h"
#include "tls/public_key.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

DnsName name(std::string_view text) { return *DnsName::parse(text); }

const DnsName domain_name = name("a.test");
const std::vector<DnsName> mx{name("mx.a.test")};

Policy enforce() {
  Policy made;
  made.mode = Mode::Enforce;
  made.mx = {*MxPattern::parse("mx.a.test")};
  return made;
}

using Said = std::vector<std::string>;

Said said(const Findings& findings) {
  Said made;
  for (const Finding* finding : findings.sorted()) {
    made.push_back(std::string(to_string(finding->severity)) + ' ' + std::string(finding->code) + ' ' + finding->subject);
  }
  return made;
}

struct DomainScene {
  Policy policy = enforce();
  DomainFacts facts;
  std::vector<IpAddress> addresses{*IpAddress::parse("192.0.2.1")};
  std::string tlsrpt = "mailto:r@a.test";

  DomainScene() {
    facts.mx->mx = {{10, name("mx.a.test")}};
    facts.sts->txt = {txt_record(policy_id(policy)), "v=spf1 -all"};
    facts.policy_host->addresses = addresses;
    facts.tlsrpt->txt = {tlsrpt_record(tlsrpt)};
  }
  Said compare(const Policy* with) {
    Findings findings;
    compare_domain({domain_name, mx, false, with, tlsrpt}, facts, addresses, findings);
    return said(findings);
  }
  Said compare() { return compare(&policy); }
};

}  // namespace

TEST_CASE("a domain whose DNS is as it should be", "[dns_audit]") { CHECK(DomainScene().compare().empty()); }

TEST_CASE("MX records that differ", "[dns_audit]") {
  DomainScene scene;
  scene.facts.mx->mx.push_back({20, name("other.test")});
  CHECK(scene.compare() == Said{"error mx-not-ours other.test"});
  CHECK(scene.compare(nullptr).front() == "warning mx-not-ours other.test");
  scene.facts.mx->mx = {{0, std::nullopt}};
  CHECK(scene.compare() == Said{"warning mx-missing-in-dns mx.a.test", "warning mx-not-ours ."});
  scene.facts.mx->mx.clear();
  CHECK(scene.compare() == Said{"error mx-missing-in-dns a.test"});
  scene.facts.mx = fail("SERVFAIL");
  CHECK(scene.compare() == Said{"error dns-failed a.test"});
}

TEST_CASE("the record of the policy: missing, doubled, outdated, malformed, left over", "[dns_audit]") {
  DomainScene scene;
  const auto of = [&](std::vector<std::string> txt) {
    scene.facts.sts->txt = std::move(txt);
    return scene.compare();
  };
  CHECK(of({}) == Said{"error sts-record-missing _mta-sts.a.test"});
  CHECK(of({"v=STSv1; id=1;", "v=STSv1; id=2;"}) == Said{"error sts-record-several _mta-sts.a.test"});
  CHECK(of({"v=STSv1; id=1;"}) == Said{"warning sts-record-outdated _mta-sts.a.test"});
  CHECK(of({"v=STSv1; id=;"}) == Said{"error sts-record-malformed _mta-sts.a.test"});
  CHECK(scene.compare(nullptr) == Said{"warning sts-record-without-policy _mta-sts.a.test"});
}

TEST_CASE("the policy host's address and the report address", "[dns_audit]") {
  DomainScene scene;
  scene.facts.policy_host->addresses = {*IpAddress::parse("192.0.2.9")};
  CHECK(scene.compare() == Said{"warning policy-host-elsewhere mta-sts.a.test"});
  scene.facts.policy_host->addresses.clear();
  CHECK(scene.compare() == Said{"error policy-host-no-address mta-sts.a.test"});
  DomainScene other;
  other.facts.tlsrpt->txt = {"v=TLSRPTv1; rua=mailto:else@a.test"};
  CHECK(other.compare() == Said{"warning tlsrpt-record _smtp._tls.a.test"});
}

TEST_CASE("TLSA records: none, fitting, for another key, not signed", "[dns_audit]") {
  const auto served = test::TestCa().issue({.names = {"mx.a.test"}});
  const auto record = tlsa_of_key(*tls::public_key_info_of_pem(served.key_pem, "key"));
  const auto blocks = tls::read_pem(served.certificate_pem, "test");
  const std::vector<ServedChain> chains{{"mx.pem", {*tls::decode_pem(blocks->front(), "test")}}};
  MxFacts facts;
  facts.addresses->addresses = {*IpAddress::parse("192.0.2.1")};
  const auto of = [&](std::vector<dns::TlsaRecord> tlsa, bool authentic, ResolverTrust trust = ResolverTrust::Trusted) {
    Findings findings;
    facts.tlsa->tlsa = std::move(tlsa);
    facts.tlsa->authentic = authentic;
    const Policy policy = enforce();
    compare_mx(mx.front(), {domain_name, mx, false, &policy}, facts, trust, chains, findings);
    return said(findings);
  };
  const dns::TlsaRecord other{3, 1, 1, std::string(32, 'x')};
  CHECK(of({}, true) == Said{"note tlsa-missing mx.a.test"});
  CHECK(of({other, record}, true).empty());
  CHECK(of({other}, true) == Said{"error tlsa-mismatch mx.a.test"});
  CHECK(of({other}, false) == Said{"warning tlsa-mismatch mx.a.test", "warning tlsa-not-signed mx.a.test"});
  CHECK(of({other}, false, ResolverTrust::Untrusted) == Said{"error tlsa-mismatch mx.a.test"});
  CHECK(of({{1, 1, 1, record.data}}, true) == Said{"warning tlsa-unusable mx.a.test"});
  facts.addresses->addresses.clear();
  CHECK(of({record}, true) == Said{"error mx-no-address mx.a.test"});
}
