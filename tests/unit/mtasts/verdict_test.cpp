#include "mtasts/verdict.h"

#include <fmt/format.h>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

using Outcome = Verdict::Outcome;

MxSeen host(std::string_view name) {
  MxSeen made{*DnsName::parse(name), {}, {}};
  made.with_sni.reached = made.without_sni.reached = true;
  return made;
}

PolicySeen policy(Mode mode) {
  Policy made;
  made.mode = mode;
  made.mx = {*MxPattern::parse("mx.a.test")};
  return {made, {}};
}

/// "DRDC": Delivers, Refuses, in Clear; for each kind of sender in its order.
std::string outcomes(const PolicySeen& seen, const std::vector<MxSeen>& hosts) {
  std::string made;
  for (const Verdict& verdict : verdicts(seen, hosts)) {
    made += verdict.outcome == Outcome::Delivers ? 'D' : verdict.outcome == Outcome::Refuses ? 'R' : 'C';
  }
  return made;
}

}  // namespace

TEST_CASE("everybody delivers where all is well, and nobody where nobody listens", "[verdict]") {
  CHECK(outcomes(policy(Mode::Enforce), {host("mx.a.test")}) == "DDDD");
  auto silent = host("mx.a.test");
  silent.with_sni = silent.without_sni = {"connection refused", false, {}};
  CHECK(outcomes(policy(Mode::Enforce), {silent}) == "RRRR");
  CHECK(outcomes(policy(Mode::Enforce), {}) == "RRRR");
}

TEST_CASE("a default certificate for another name: lost to those who send no SNI", "[verdict]") {
  auto seen = host("mx.a.test");
  seen.without_sni.fault = "hostname mismatch";
  CHECK(outcomes(policy(Mode::Enforce), {seen}) == "DRDD");
  CHECK(outcomes(policy(Mode::Testing), {seen}) == "DDDD");
  CHECK(outcomes(policy(Mode::None), {seen}) == "DDDD");
  CHECK(outcomes({std::nullopt, "no record"}, {seen}) == "DDDD");
}

TEST_CASE("no STARTTLS: in clear, but not for those who were told", "[verdict]") {
  auto clear = host("mx.a.test");
  clear.with_sni.failure = clear.without_sni.failure = "no STARTTLS";
  CHECK(outcomes(policy(Mode::Enforce), {clear}) == "RRDC");
  CHECK(outcomes(policy(Mode::Testing), {clear}) == "CCDC");
  clear.tlsa = TlsaStanding::Matches;
  CHECK(outcomes(policy(Mode::Enforce), {clear}) == "RRRC");
}

TEST_CASE("TLSA records that differ, and those that nobody vouches for", "[verdict]") {
  auto seen = host("mx.a.test");
  seen.tlsa = TlsaStanding::Differs;
  CHECK(outcomes(policy(Mode::Enforce), {seen}) == "DDRD");
  seen.tlsa = TlsaStanding::NotVouchedFor;
  CHECK(outcomes(policy(Mode::Enforce), {seen}) == "DDDD");
}

TEST_CASE("the next host is tried, and reasons are told of each", "[verdict]") {
  auto broken = host("mx.a.test");
  broken.with_sni.fault = "expired";
  const auto of = verdicts(policy(Mode::Enforce), std::vector{broken, host("mx2.a.test")});
  CHECK(of[0].outcome == Outcome::Refuses);
  CHECK(of[0].text == "mx.a.test: expired; mx2.a.test: the policy does not allow it");
  CHECK(of[1].text == "to mx.a.test");
}
