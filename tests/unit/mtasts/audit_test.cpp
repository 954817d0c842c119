#include "mtasts/audit.h"

#include <algorithm>

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::mtasts;
using std::chrono::hours;

namespace {

DnsName name(std::string_view text) { return *DnsName::parse(text); }

const test::TestCa& ca() {
  static const test::TestCa made;
  return made;
}

certs::Entry entry(test::LeafRequest request) { return {ca().issue(std::move(request)).credential(), nullptr}; }

/// A map, and what an audit of domains says of it.
struct Scene {
  std::vector<std::pair<std::string, certs::Entry>> entries{{"default.test", entry({.names = {"default.test"}})}};
  bool trusted = true;
  Findings findings;

  Scene& serve(const std::string& key, certs::Entry what) {
    entries.emplace_back(key, std::move(what));
    return *this;
  }

  std::vector<std::string> audit(const std::vector<Domain>& domains, const std::vector<KeptHost>& kept = {}) {
    const auto map = certs::make_snapshot(entries, nullptr, 1);
    AuditOptions options;
    options.now = test::test_now();
    options.trusted = [this](const tls::Credential&) { return trusted; };
    options.roots = "the test";
    options.mail_defaults = options.policy_defaults = {map->find(name("default.test")).entry};
    Audit audit(*map, options, findings);
    audit.mark_used("default.test");
    for (const Domain& domain : domains) audit.take(domain);
    audit.take_remembered(kept, [](const DnsName&) { return false; });
    audit.report_unused_names();
    std::vector<std::string> said;
    for (const Finding* finding : findings.sorted()) {
      said.push_back(std::string(to_string(finding->severity)) + ' ' + std::string(finding->code) + ' ' + finding->subject);
    }
    return said;
  }
};

using Said = std::vector<std::string>;

const DnsName domain_name = name("a.test");
const std::vector<DnsName> mx{name("mx.a.test")};

Policy policy(Mode mode, std::vector<std::string> patterns = {"mx.a.test"}, std::chrono::seconds max_age = hours(168)) {
  Policy made;
  made.mode = mode;
  made.max_age = max_age;
  for (const auto& text : patterns) made.mx.push_back(*MxPattern::parse(text));
  return made;
}

}  // namespace

TEST_CASE("nothing is said of a domain that is as it should be", "[audit]") {
  Scene scene;
  scene.serve("mx.a.test", entry({.names = {"mx.a.test"}})).serve("mta-sts.a.test", entry({.names = {"mta-sts.a.test"}}));
  const auto enforce = policy(Mode::Enforce);
  CHECK(scene.audit({{domain_name, mx, false, &enforce}}).empty());
}

TEST_CASE("names without certificates: graver when senders are told to care", "[audit]") {
  const auto enforce = policy(Mode::Enforce);
  const auto testing = policy(Mode::Testing);
  CHECK(Scene().audit({{domain_name, mx, false, &enforce}}) ==
        Said{"error mx-no-certificate mx.a.test", "error policy-host-no-certificate mta-sts.a.test"});
  CHECK(Scene().audit({{domain_name, mx, false, &testing}}) ==
        Said{"error policy-host-no-certificate mta-sts.a.test", "warning mx-no-certificate mx.a.test"});
  CHECK(Scene().audit({{domain_name, mx}}) == Said{"warning mx-no-certificate mx.a.test"});
}

TEST_CASE("a name that only the default covers", "[audit]") {
  Scene scene;
  scene.entries.front().second = entry({.names = {"default.test", "mx.a.test"}});
  CHECK(scene.audit({{domain_name, mx}}) == Said{"warning only-default-covers mx.a.test"});
}

TEST_CASE("a certificate for another name, expired, ending soon, or from the future", "[audit]") {
  const auto now = test::test_now();
  const auto of = [](certs::Entry served) { return Scene().serve("mx.a.test", std::move(served)).audit({{domain_name, mx}}); };
  CHECK(of(entry({.names = {"other.test"}})) == Said{"warning wrong-name mx.a.test"});
  const auto codes = [&](test::LeafRequest request) {
    request.names = {"mx.a.test"};
    Said made;
    for (const auto& said : of(entry(std::move(request)))) made.push_back(said.substr(0, said.find(' ', said.find(' ') + 1)));
    return made;
  };
  CHECK(codes({.names = {}, .not_after = now - hours(1)}) == Said{"warning expired"});
  CHECK(codes({.names = {}, .not_after = now + hours(24)}) == Said{"warning expires-soon"});
  CHECK(codes({.names = {}, .not_before = now + hours(1)}) == Said{"warning not-yet-valid"});
}

TEST_CASE("chains matter to those who follow a policy", "[audit]") {
  const auto enforce = policy(Mode::Enforce);
  const certs::Entry own{test::self_signed({.names = {"mx.a.test"}}).credential(), nullptr};
  Scene scene;
  scene.serve("mx.a.test", own).serve("mta-sts.a.test", entry({.names = {"mta-sts.a.test"}}));
  const auto said = scene.audit({{domain_name, mx, false, &enforce}});
  REQUIRE(said.size() == 1);
  CHECK(said.front().starts_with("error self-signed "));
  Scene plain;
  plain.serve("mx.a.test", own);
  CHECK(plain.audit({{domain_name, mx}}).empty());
  Scene untrusted;
  untrusted.trusted = false;
  untrusted.serve("mx.a.test", entry({.names = {"mx.a.test"}})).serve("mta-sts.a.test", entry({.names = {"mta-sts.a.test"}}));
  const auto both = untrusted.audit({{domain_name, mx, false, &enforce}});
  CHECK(std::all_of(both.begin(), both.end(), [](const auto& one) { return one.starts_with("error untrusted-chain "); }));
}

TEST_CASE("policies that do not fit their MX names, or end at once", "[audit]") {
  const auto served = [] {
    Scene scene;
    scene.serve("mx.a.test", entry({.names = {"mx.a.test"}})).serve("mta-sts.a.test", entry({.names = {"mta-sts.a.test"}}));
    return scene.entries;
  };
  const auto of = [&](const Policy& what, std::span<const DnsName> hosts, bool null_mx = false) {
    Scene scene;
    scene.entries = served();
    Said made;
    for (const auto& said : scene.audit({{domain_name, hosts, null_mx, &what}})) {
      if (said.find("name-unused") == std::string::npos) made.push_back(said);
    }
    return made;
  };
  CHECK(of(policy(Mode::Enforce, {"*.a.test"}), mx).empty());
  CHECK(of(policy(Mode::Enforce, {"*.b.test"}), mx) ==
        Said{"error mx-not-in-policy mx.a.test", "warning policy-mx-unused *.b.test"});
  CHECK(of(policy(Mode::Testing, {"mx.a.test"}, hours(1)), mx) == Said{"warning policy-short max_age = 3600 s"});
  CHECK(of(policy(Mode::Testing), {}, true) == Said{"warning policy-null-mx a.test"});
  CHECK(of(policy(Mode::Testing), {}) == Said{"warning domain-without-mx mx"});
  CHECK(of(policy(Mode::None, {}), mx).empty());
}

TEST_CASE("names that nobody uses, unless a domain does not say what it uses", "[audit]") {
  Scene scene;
  scene.serve("mx.a.test", entry({.names = {"mx.a.test"}})).serve("old.test", entry({.names = {"old.test"}}));
  CHECK(scene.audit({{domain_name, mx}}) == Said{"note name-unused old.test"});
  Scene silent;
  silent.serve("old.test", entry({.names = {"old.test"}}));
  CHECK(silent.audit({{domain_name, {}}}) == Said{"note domain-without-mx mx"});
}

TEST_CASE("what old policies need: until when, and that it is there", "[audit]") {
  const auto now = test::test_now();
  Scene scene;
  scene.serve("mx.a.test", entry({.names = {"mx.a.test"}})).serve("old.a.test", entry({.names = {"old.a.test"}}));
  CHECK(scene.audit({{domain_name, mx}}, {{domain_name, name("old.a.test"), now + hours(1)},
                                          {domain_name, name("lost.a.test"), now + hours(1)},
                                          {domain_name, name("past.a.test"), now}}) ==
        Said{"error old-policy-no-certificate lost.a.test", "note kept-for-old-policy old.a.test",
             "note may-be-dropped past.a.test"});
}
