#include "delivery/health.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;
using namespace std::chrono_literals;

namespace {

const Instant start{1h};
using State = Health::State;

}  // namespace

TEST_CASE("a target that fails is left in peace, twice as long each time") {
  Health health({100ms, 300ms, 3});
  CHECK(health.may_dial(start));
  CHECK_FALSE(health.down_since());
  CHECK(health.failed(health.dialled(), start, "refused"));
  CHECK(health.state() == State::Down);
  CHECK(health.last_failure() == "refused");
  CHECK(health.pause() == 100ms);
  CHECK_FALSE(health.may_dial(start + 100ms - 1ns));
  CHECK(health.may_dial(start + 100ms));
  CHECK(health.failed(health.dialled(), start + 100ms, "again"));
  CHECK(health.retry_at() == start + 300ms);
  CHECK(health.failed(health.dialled(), start + 300ms, "again"));
  CHECK(health.pause() == 300ms);
  CHECK(health.failures() == 3);
  CHECK(health.down_since() == start);
  CHECK(health.answered());
  CHECK_FALSE(health.down_since());
  CHECK(health.state() == State::Up);
  CHECK_FALSE(health.retry_at());
  CHECK_FALSE(health.answered());
  health.failed(health.dialled(), start + 1h, "later");
  CHECK(health.pause() == 100ms);
  CHECK(health.down_since() == start + 1h);
}

TEST_CASE("after the pause one connection is tried, and the others wait for what becomes of it") {
  Health health({100ms, 1s, 3});
  health.failed(health.dialled(), start, "refused");
  const auto trial = health.dialled();
  CHECK(health.state() == State::Trying);
  CHECK_FALSE(health.may_dial(start + 1h));
  SECTION("it succeeds") {
    CHECK(health.answered());
    CHECK(health.may_dial(start));
  }
  SECTION("it fails") {
    CHECK(health.failed(trial, start + 1s, "refused"));
    CHECK(health.retry_at() == start + 1s + 200ms);
  }
  SECTION("it is given up: another may be tried") {
    health.abandoned(trial);
    CHECK(health.may_dial(start + 1s));
  }
}

TEST_CASE("connections that fail together are one failure") {
  Health health({100ms, 1s, 3});
  const auto first = health.dialled();
  const auto second = health.dialled();
  CHECK(health.failed(first, start, "refused"));
  CHECK_FALSE(health.failed(second, start, "reset"));
  CHECK(health.pause() == 100ms);
  CHECK(health.retry_at() == start + 100ms);
  CHECK(health.failures() == 2);
  CHECK(health.last_failure() == "reset");
  // A late one does not end a trial either.
  const auto trial = health.dialled();
  CHECK_FALSE(health.failed(second, start + 1s, "reset"));
  CHECK(health.state() == State::Trying);
  CHECK(health.failed(trial, start + 1s, "refused"));
}

TEST_CASE("a target that greets well and breaks off every transaction is down, too") {
  Health health({100ms, 1s, 3});
  CHECK_FALSE(health.transaction_broke(start, "closed"));
  CHECK_FALSE(health.transaction_broke(start, "closed"));
  SECTION("three in a row") {
    CHECK(health.transaction_broke(start, "closed at DATA"));
    CHECK(health.state() == State::Down);
    CHECK(health.last_failure() == "closed at DATA");
    CHECK_FALSE(health.transaction_broke(start, "closed"));
  }
  SECTION("one with answers between them") {
    health.transaction_answered();
    CHECK_FALSE(health.transaction_broke(start, "closed"));
  }
}
