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
  RecipientCache cache(2);
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
  RecipientCache cache(0);
  cache.remember("a", taken, start);
  CHECK(cache.size() == 0);
}
