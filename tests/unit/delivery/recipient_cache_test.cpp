#include "delivery/recipient_cache.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;
using namespace std::chrono_literals;
using postern::smtp::Reply;

namespace {
const Instant start{1h};
const Reply taken{250, "2.1.5", "yes"};
const Reply unknown{550, "5.1.1", "no"};
}  // namespace

TEST_CASE("a taken recipient is remembered for an hour, an unknown one for a minute") {
  RecipientCache cache;
  cache.remember("taken", taken, start);
  cache.remember("unknown", unknown, start);
  CHECK(cache.find("taken", start + 1h - 1ns) == taken);
  CHECK(cache.find("unknown", start + 1min - 1ns) == unknown);
  CHECK_FALSE(cache.find("taken", start + 1h));
  CHECK_FALSE(cache.find("unknown", start + 1min));
  CHECK_FALSE(cache.find("never heard of", start));
  CHECK(cache.size() == 0);
}

TEST_CASE("nothing else is remembered, and it makes what was known outdated") {
  const auto reply = GENERATE(Reply{452, "4.2.2", "over quota"}, Reply{552, "5.2.2", "over quota"},
                              Reply{550, "5.7.1", "not from you"}, Reply{550, "", "no"}, Reply{450, "5.1.1", "odd"});
  RecipientCache cache;
  cache.remember("bob", reply, start);
  CHECK_FALSE(cache.find("bob", start));
  cache.remember("bob", taken, start);
  cache.remember("bob", reply, start);
  CHECK_FALSE(cache.find("bob", start));
}

TEST_CASE("the memory is bounded: the oldest goes first") {
  RecipientCache cache({.entries_max = 2});
  cache.remember("a", taken, start);
  cache.remember("b", taken, start);
  cache.remember("a", unknown, start);
  cache.remember("c", taken, start);
  CHECK(cache.size() == 2);
  CHECK_FALSE(cache.find("b", start));
  CHECK(cache.find("a", start) == unknown);
  CHECK(cache.find("c", start) == taken);
  cache.clear();
  CHECK(cache.size() == 0);
  CHECK_FALSE(cache.find("a", start));
}

TEST_CASE("a cache of no entries holds none") {
  RecipientCache cache({.entries_max = 0});
  cache.remember("a", taken, start);
  CHECK(cache.size() == 0);
}

TEST_CASE("how long is a matter of configuration, which may change") {
  RecipientCache cache({.accepted_for = 10s, .unknown_for = 0s, .entries_max = 3});
  cache.remember("taken", taken, start);
  cache.remember("unknown", unknown, start);
  CHECK(cache.find("taken", start + 9s) == taken);
  CHECK_FALSE(cache.find("taken", start + 10s));
  CHECK_FALSE(cache.find("unknown", start));
  for (const char* name : {"a", "b", "c"}) cache.remember(name, taken, start);
  cache.configure({.entries_max = 1});
  CHECK(cache.size() == 1);
  CHECK(cache.find("c", start) == taken);
}
