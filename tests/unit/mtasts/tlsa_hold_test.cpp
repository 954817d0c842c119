#include "mtasts/tlsa_hold.h"

#include "base/text.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;
using namespace std::chrono_literals;
using Says = TlsaAtServer::Says;
using Standing = TlsaHold::Standing;

namespace {

const WallTime noon{1'795'392'000s};
const WallTime in_a_month = noon + 30 * 24h;

std::vector<TlsaAtServer> servers(Says a, Says b, std::chrono::seconds ttl = 300s) {
  return {{"ns1.test", a, ttl}, {"ns2.test", b, ttl}};
}

}  // namespace

TEST_CASE("a record that all servers have for twice its TTL frees a certificate", "[tlsa_hold]") {
  TlsaHold hold(noon, in_a_month);
  CHECK(hold.standing() == Standing::Held);
  CHECK(hold.next_look() == noon);
  hold.looked(servers(Says::Lacks, Says::Lacks), noon);
  CHECK(hold.why() == "ns1.test has no TLSA record for its key");
  CHECK(hold.next_look() == noon + 60s);
  hold.looked(servers(Says::Covers, Says::Lacks), noon + 60s);
  CHECK(hold.why() == "ns2.test has no TLSA record for its key");
  hold.looked(servers(Says::Covers, Says::Covers), noon + 120s);
  CHECK(hold.standing() == Standing::Held);
  CHECK(hold.why() == "all authoritative servers have a TLSA record for its key; caches may have the old ones until " +
                          rfc3339(noon + 720s));
  hold.looked(servers(Says::Covers, Says::Covers), noon + 120s + 599s);
  CHECK(hold.standing() == Standing::Held);
  CHECK(hold.next_look() == noon + 120s + 600s);  // not a minute later
  hold.looked(servers(Says::Covers, Says::Covers), noon + 120s + 600s);
  CHECK(hold.standing() == Standing::Free);
}

TEST_CASE("the longest TTL that was seen counts: that is what caches have", "[tlsa_hold]") {
  TlsaHold hold(noon, in_a_month);
  hold.looked(servers(Says::Lacks, Says::Lacks, 3600s), noon);
  hold.looked(servers(Says::Covers, Says::Covers, 60s), noon + 1min);
  hold.looked(servers(Says::Covers, Says::Covers, 60s), noon + 1min + 7199s);
  CHECK(hold.standing() == Standing::Held);
  hold.looked(servers(Says::Covers, Says::Covers, 60s), noon + 1min + 7200s);
  CHECK(hold.standing() == Standing::Free);
}

TEST_CASE("a record that goes again begins anew; a server that is silent takes nothing back, and gives nothing", "[tlsa_hold]") {
  TlsaHold hold(noon, in_a_month);
  hold.looked(servers(Says::Covers, Says::Nothing), noon);
  CHECK(hold.why() == "ns2.test does not answer");
  hold.looked(servers(Says::Covers, Says::Covers), noon + 10s);
  hold.looked(servers(Says::Nothing, Says::Covers), noon + 20s);
  hold.looked(servers(Says::Covers, Says::None), noon + 30s);
  CHECK(hold.why() == "ns2.test has no TLSA record for its key");
  hold.looked(servers(Says::Covers, Says::Covers), noon + 40s);
  hold.looked(servers(Says::Nothing, Says::Covers), noon + 639s);
  CHECK(hold.standing() == Standing::Held);
  hold.looked(servers(Says::Nothing, Says::Covers), noon + 640s);
  CHECK(hold.standing() == Standing::Free);
}

TEST_CASE("a name without TLSA records holds nothing", "[tlsa_hold]") {
  TlsaHold hold(noon, in_a_month);
  hold.looked(servers(Says::None, Says::Nothing), noon);
  CHECK(hold.standing() == Standing::Held);
  hold.looked(servers(Says::None, Says::None), noon + 1min);
  CHECK(hold.standing() == Standing::Free);
}

TEST_CASE("a hold ends in time before the served certificate does", "[tlsa_hold]") {
  TlsaHold hold(noon, in_a_month);
  CHECK(hold.deadline() == in_a_month - 72h);
  hold.looked({}, in_a_month - 72h - 1s);
  CHECK(hold.standing() == Standing::Held);
  hold.looked({}, in_a_month - 72h);
  CHECK(hold.standing() == Standing::Forced);
  CHECK(hold.why() == "the authoritative servers of its zone cannot be found, and the certificate that is served ends soon");
  hold.looked(servers(Says::None, Says::None), in_a_month);
  CHECK(hold.standing() == Standing::Forced);  // once and for all

  CHECK(TlsaHold(noon, noon + 24h).deadline() == noon + 12h);
  TlsaHold late(noon, noon - 1h);  // it has ended already
  late.looked(servers(Says::Lacks, Says::Lacks), noon);
  CHECK(late.standing() == Standing::Forced);
}
