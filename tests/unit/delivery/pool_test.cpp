#include "delivery/pool.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;
using namespace std::chrono_literals;

namespace {

const Instant start{1h};

ConnectionId dialled(const Pool::Lease& lease) {
  REQUIRE(std::holds_alternative<Pool::Dial>(lease));
  return std::get<Pool::Dial>(lease).connection;
}

ConnectionId reused(const Pool::Lease& lease) {
  REQUIRE(std::holds_alternative<Pool::Reuse>(lease));
  return std::get<Pool::Reuse>(lease).connection;
}

WaiterId waits(const Pool::Lease& lease) {
  REQUIRE(std::holds_alternative<Pool::Wait>(lease));
  return std::get<Pool::Wait>(lease).waiter;
}

bool is_full(const Pool::Lease& lease) { return std::holds_alternative<Pool::Full>(lease); }

PoolLimits limits(std::size_t connections_max, std::size_t waiters_max = 10) {
  PoolLimits made;
  made.connections_max = connections_max;
  made.waiters_max = waiters_max;
  return made;
}

}  // namespace

TEST_CASE("an idle connection is leased before a new one is dialled, the youngest first") {
  Pool pool(limits(3));
  const auto a = dialled(pool.lease(start));
  const auto b = dialled(pool.lease(start));
  CHECK(a != b);
  CHECK_FALSE(pool.give_back(a, start));
  CHECK_FALSE(pool.give_back(b, start));
  CHECK(pool.idle() == 2);
  CHECK(reused(pool.lease(start)) == b);
  CHECK(reused(pool.lease(start)) == a);
  CHECK(pool.idle() == 0);
  CHECK(pool.open() == 2);
}

TEST_CASE("at the limit hand-offs wait in line, and past that they are turned away") {
  Pool pool(limits(1, 2));
  const auto connection = dialled(pool.lease(start));
  const auto first = waits(pool.lease(start));
  const auto second = waits(pool.lease(start));
  CHECK(is_full(pool.lease(start)));
  CHECK(pool.waiting() == 2);
  SECTION("a connection that is given back is the first waiter's") {
    CHECK(pool.give_back(connection, start) == first);
    CHECK(pool.idle() == 0);
    CHECK(pool.give_back(connection, start) == second);
    CHECK_FALSE(pool.give_back(connection, start));
    CHECK(pool.idle() == 1);
  }
  SECTION("a connection that is lost makes room for the first waiter") {
    CHECK(pool.lost(connection) == first);
    CHECK(dialled(pool.lease(start)) != connection);
  }
  SECTION("who stops waiting is not named") {
    pool.stop_waiting(first);
    CHECK(pool.give_back(connection, start) == second);
  }
  SECTION("all are dismissed when the target has died") {
    CHECK(pool.dismiss_waiters() == std::vector{first, second});
    CHECK_FALSE(pool.lost(connection));
  }
}

TEST_CASE("a fresh connection is never a kept one") {
  Pool pool(limits(2));
  const auto kept = dialled(pool.lease(start));
  pool.give_back(kept, start);
  const auto fresh = dialled(pool.lease_fresh(start));
  CHECK(fresh != kept);
  pool.give_back(fresh, start);
  waits(pool.lease_fresh(start));
}

TEST_CASE("a target that is not to be dialled serves with what is open") {
  Pool pool(limits(3));
  CHECK(is_full(pool.lease_kept()));
  const auto connection = dialled(pool.lease(start));
  const auto waiter = waits(pool.lease_kept());
  CHECK(pool.give_back(connection, start) == waiter);
  pool.give_back(connection, start);
  CHECK(reused(pool.lease_kept()) == connection);
}

TEST_CASE("idle connections end at their idle limit") {
  Pool pool(limits(3));
  CHECK_FALSE(pool.deadline());
  const auto a = dialled(pool.lease(start));
  const auto b = dialled(pool.lease(start));
  CHECK_FALSE(pool.deadline());
  pool.give_back(a, start + 1s);
  pool.give_back(b, start + 2s);
  CHECK(pool.deadline() == start + 61s);
  CHECK(pool.expire(start + 61s - 1ns).empty());
  CHECK(pool.expire(start + 61s) == std::vector{a});
  CHECK(pool.deadline() == start + 62s);
  CHECK(pool.open() == 1);
  CHECK(reused(pool.lease(start + 61s)) == b);
}

TEST_CASE("connections end at their age limit") {
  Pool pool(limits(3));
  const auto connection = dialled(pool.lease(start));
  CHECK_FALSE(pool.worn_out(connection, start + 10min - 1ns));
  CHECK(pool.worn_out(connection, start + 10min));
  pool.give_back(connection, start + 10min - 1s);
  CHECK(pool.deadline() == start + 10min);
  CHECK(pool.expire(start + 10min) == std::vector{connection});
  CHECK(pool.open() == 0);
}

TEST_CASE("an idle connection can be lost") {
  Pool pool(limits(1));
  const auto connection = dialled(pool.lease(start));
  pool.give_back(connection, start);
  CHECK_FALSE(pool.lost(connection));
  CHECK(pool.idle() == 0);
  CHECK(pool.open() == 0);
  dialled(pool.lease(start));
}
