#include "delivery/catch_all.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;
using namespace std::chrono_literals;
using postern::smtp::Reply;

namespace {
const Instant start{1h};
const Reply taken{250, "2.1.5", "yes"};
const Reply unknown{550, "5.1.1", "no"};
const Reply busy{451, "4.3.0", "later"};

/// As many answers as it takes.
bool wants_probe_after(CatchAllDomains& domains, std::size_t answers, Instant now = start) {
  for (std::size_t i = 1; i < answers; ++i) CHECK_FALSE(domains.wants_probe("d", now));
  return domains.wants_probe("d", now);
}
}  // namespace

TEST_CASE("a random name is tried once, after a few recipients were taken") {
  CatchAllDomains domains;
  CHECK_FALSE(domains.takes_everything("d", start));
  REQUIRE(wants_probe_after(domains, 3));
  CHECK_FALSE(domains.wants_probe("d", start));
  CHECK_FALSE(domains.takes_everything("d", start));
  SECTION("a domain that takes it is a catch-all for an hour") {
    CHECK(domains.probed("d", taken, start));
    CHECK(domains.takes_everything("d", start + 1h - 1ns));
    CHECK_FALSE(domains.takes_everything("e", start));
    CHECK_FALSE(domains.takes_everything("d", start + 1h));
    CHECK(wants_probe_after(domains, 3, start + 1h));
  }
  SECTION("one that refuses it is none, which is not asked again for an hour") {
    CHECK_FALSE(domains.probed("d", unknown, start));
    CHECK_FALSE(domains.takes_everything("d", start));
    CHECK_FALSE(wants_probe_after(domains, 5));
    CHECK(wants_probe_after(domains, 3, start + 1h));
  }
  SECTION("any other answer says nothing") {
    CHECK_FALSE(domains.probed("d", busy, start));
    CHECK_FALSE(domains.takes_everything("d", start));
    CHECK(wants_probe_after(domains, 3));
  }
  SECTION("what was cleared meanwhile is not brought back") {
    domains.clear();
    CHECK_FALSE(domains.probed("d", taken, start));
    CHECK_FALSE(domains.takes_everything("d", start));
  }
}

TEST_CASE("without a time to remember them there are no catch-alls") {
  CatchAllDomains domains;
  REQUIRE(wants_probe_after(domains, 3));
  REQUIRE(domains.probed("d", taken, start));
  domains.configure({.catch_all_for = 0s});
  CHECK_FALSE(domains.takes_everything("d", start));
  for (int i = 0; i < 10; ++i) CHECK_FALSE(domains.wants_probe("e", start));
}

TEST_CASE("the number of domains is bounded") {
  CatchAllDomains domains({.catch_all_after = 1}, 2);
  REQUIRE(domains.wants_probe("a", start));
  REQUIRE(domains.probed("a", taken, start));
  CHECK(domains.wants_probe("b", start));
  CHECK(domains.wants_probe("c", start));
  CHECK(domains.size() == 2);
  CHECK_FALSE(domains.takes_everything("a", start));
}
