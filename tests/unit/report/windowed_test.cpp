#include "report/windowed.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;
using namespace std::chrono_literals;

namespace {

enum class Of : std::uint8_t { First, Second };
using Two = Counts<Of, 2>;
const WallTime midnight{std::chrono::seconds(1'795'392'000)};

}  // namespace

TEST_CASE("windows add up what is in their reach") {
  Windowed<Two> windowed;
  windowed.at(midnight)[Of::First] += 1;
  windowed.at(midnight + 5h)[Of::First] += 10;
  windowed.at(midnight + 5h + 50min)[Of::First] += 100;
  const WallTime now = midnight + 6h;
  windowed.age(now, 7 * 24h);
  CHECK(windowed.sum(now, Window::Hour)[Of::First] == 110);
  CHECK(windowed.sum(now, Window::Day)[Of::First] == 111);
  CHECK(windowed.sum(now, Window::Week)[Of::First] == 111);
  windowed.age(now + 25h, 7 * 24h);
  CHECK(windowed.sum(now + 25h, Window::Hour)[Of::First] == 0);
  CHECK(windowed.sum(now + 25h, Window::Day)[Of::First] == 0);
  CHECK(windowed.sum(now + 25h, Window::Week)[Of::First] == 111);
}

TEST_CASE("nothing is lost while it ages, and everything goes in the end") {
  Windowed<Two> windowed;
  std::uint32_t counted = 0;
  for (auto time = midnight; time < midnight + 6 * 24h; time += 7min) {
    ++windowed.at(time)[Of::Second];
    ++counted;
    windowed.age(time, 7 * 24h);
    REQUIRE(windowed.sum(time, Window::Week)[Of::Second] == counted);
    REQUIRE(windowed.slots().size() <= 60);
  }
  windowed.age(midnight + 30 * 24h, 7 * 24h);
  CHECK(windowed.slots().empty());
}

TEST_CASE("a shorter retention forgets sooner") {
  Windowed<Two> windowed;
  windowed.at(midnight)[Of::First] += 1;
  windowed.age(midnight + 2h, 1h);
  CHECK(windowed.slots().empty());
}

TEST_CASE("counters stop at their largest value") {
  Two a, b;
  a[Of::First] = UINT32_MAX - 1;
  b[Of::First] = 5;
  a.add(b);
  CHECK(a[Of::First] == UINT32_MAX);
}
