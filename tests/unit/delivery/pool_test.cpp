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

constexpr auto allowed = Pool::Dialling::Allowed;
constexpr auto forbidden = Pool::Dialling::Forbidden;

/// The only pool of its target.
class OnePool : public Pool {
 public:
  explicit OnePool(std::size_t connections_max, std::size_t waiting_max = 10)
      : Pool(limits(waiting_max), std::make_shared<ConnectionShares>(connections_max), [] {}) {}

 private:
  static PoolLimits limits(std::size_t waiting_max) {
    PoolLimits made;
    made.waiting_max = waiting_max;
    return made;
  }
};

}  // namespace

TEST_CASE("an idle connection is leased before a new one is dialled, the youngest first") {
  OnePool pool(3);
  const auto a = dialled(pool.lease(allowed, start));
  const auto b = dialled(pool.lease(allowed, start));
  CHECK(a != b);
  CHECK_FALSE(pool.give_back(a, start));
  CHECK_FALSE(pool.give_back(b, start));
  CHECK(pool.idle() == 2);
  CHECK(reused(pool.lease(allowed, start)) == b);
  CHECK(reused(pool.lease(allowed, start)) == a);
  CHECK(pool.idle() == 0);
  CHECK(pool.open() == 2);
}

TEST_CASE("at the limit hand-offs wait in line, and past that they are turned away") {
  OnePool pool(1, 2);
  const auto connection = dialled(pool.lease(allowed, start));
  const auto first = waits(pool.lease(allowed, start));
  const auto second = waits(pool.lease(allowed, start));
  CHECK(is_full(pool.lease(allowed, start)));
  CHECK(pool.waiting() == 2);
  SECTION("a connection that is given back is the first waiter's") {
    CHECK(pool.give_back(connection, start) == first);
    CHECK(pool.idle() == 0);
    CHECK(pool.give_back(connection, start) == second);
    CHECK_FALSE(pool.give_back(connection, start));
    CHECK(pool.idle() == 1);
  }
  SECTION("a connection that is lost makes room for the first waiter") {
    CHECK_FALSE(pool.dial_for_waiter(start));
    pool.lost(connection);
    const auto passed = pool.dial_for_waiter(start);
    REQUIRE(passed);
    CHECK(passed->waiter == first);
    CHECK(passed->connection != connection);
    CHECK_FALSE(pool.dial_for_waiter(start));
  }
  SECTION("who stops waiting is not named") {
    pool.stop_waiting(first);
    CHECK(pool.give_back(connection, start) == second);
  }
  SECTION("all are dismissed when the target has died") {
    CHECK(pool.dismiss_waiters() == std::vector{first, second});
    pool.lost(connection);
    CHECK_FALSE(pool.dial_for_waiter(start));
  }
}

TEST_CASE("the line has one end for all workers") {
  const auto shares = std::make_shared<ConnectionShares>(1);
  PoolLimits limits;
  limits.waiting_max = 2;
  Pool one(limits, shares, [] {});
  const auto connection = dialled(one.lease(allowed, start));
  {
    Pool other(limits, shares, [] {});
    waits(other.lease(allowed, start));
    CHECK_FALSE(one.full());
    const auto waiter = waits(one.lease(allowed, start));
    CHECK(one.full());
    CHECK(other.full());
    CHECK(is_full(other.lease(allowed, start)));
    one.stop_waiting(waiter);
    CHECK_FALSE(other.full());
    waits(other.lease(allowed, start));
    CHECK(one.full());
  }
  // Whoever goes leaves the line.
  CHECK_FALSE(one.full());
  waits(one.lease(allowed, start));
  waits(one.lease(allowed, start));
  CHECK(one.full());
  CHECK(one.give_back(connection, start));
  CHECK_FALSE(one.full());
  CHECK(one.dismiss_waiters().size() == 1);
  waits(one.lease(allowed, start));
  waits(one.lease(allowed, start));
  CHECK(one.full());
}

TEST_CASE("a line without room is full only while there is nothing to lease") {
  OnePool pool(1, 0);
  CHECK_FALSE(pool.full());
  const auto connection = dialled(pool.lease(allowed, start));
  CHECK(pool.full());
  CHECK(is_full(pool.lease(allowed, start)));
  CHECK_FALSE(pool.give_back(connection, start));
  CHECK_FALSE(pool.full());
}

TEST_CASE("a fresh connection is never a kept one") {
  OnePool pool(2);
  const auto kept = dialled(pool.lease(allowed, start));
  pool.give_back(kept, start);
  const auto fresh = dialled(pool.lease_fresh(start));
  CHECK(fresh != kept);
  // Better a kept one than none at all.
  CHECK(reused(pool.lease_fresh(start)) == kept);
  waits(pool.lease_fresh(start));
}

TEST_CASE("a target that is not to be dialled serves with what is open") {
  OnePool pool(3);
  CHECK(is_full(pool.lease(forbidden, start)));
  const auto connection = dialled(pool.lease(allowed, start));
  const auto waiter = waits(pool.lease(forbidden, start));
  CHECK(pool.give_back(connection, start) == waiter);
  pool.give_back(connection, start);
  CHECK(reused(pool.lease(forbidden, start)) == connection);
}

TEST_CASE("idle connections end at their idle limit") {
  OnePool pool(3);
  CHECK_FALSE(pool.deadline());
  const auto a = dialled(pool.lease(allowed, start));
  const auto b = dialled(pool.lease(allowed, start));
  CHECK_FALSE(pool.deadline());
  pool.give_back(a, start + 1s);
  pool.give_back(b, start + 2s);
  CHECK(pool.deadline() == start + 61s);
  CHECK(pool.expire(start + 61s - 1ns).empty());
  CHECK(pool.expire(start + 61s) == std::vector{a});
  CHECK(pool.deadline() == start + 62s);
  CHECK(pool.open() == 1);
  CHECK(reused(pool.lease(allowed, start + 61s)) == b);
}

TEST_CASE("connections end at their age limit") {
  OnePool pool(3);
  const auto connection = dialled(pool.lease(allowed, start));
  CHECK_FALSE(pool.worn_out(connection, start + 10min - 1ns));
  CHECK(pool.worn_out(connection, start + 10min));
  pool.give_back(connection, start + 10min - 1s);
  CHECK(pool.deadline() == start + 10min);
  CHECK(pool.expire(start + 10min) == std::vector{connection});
  CHECK(pool.open() == 0);
}

TEST_CASE("an idle connection can be lost") {
  OnePool pool(1);
  const auto connection = dialled(pool.lease(allowed, start));
  pool.give_back(connection, start);
  pool.lost(connection);
  CHECK(pool.idle() == 0);
  CHECK(pool.open() == 0);
  dialled(pool.lease(allowed, start));
}

TEST_CASE("a look takes what is idle or a free place, and never waits") {
  OnePool pool(1);
  CHECK_FALSE(pool.take_idle());
  const auto connection = pool.try_dial(start);
  REQUIRE(connection);
  CHECK_FALSE(pool.try_dial(start));
  CHECK(pool.waiting() == 0);
  pool.give_back(*connection, start);
  const auto idle = pool.take_idle();
  REQUIRE(idle);
  CHECK(idle->connection == *connection);
  CHECK(idle->since == start);
  CHECK(pool.idle() == 0);
}

TEST_CASE("two pools of one target lend each other places") {
  const auto shares = std::make_shared<ConnectionShares>(2);
  unsigned told = 0;
  Pool one({}, shares, [&told] { ++told; });
  Pool other({}, shares, [] {});
  const auto a = dialled(one.lease(allowed, start));
  const auto b = dialled(one.lease(allowed, start));
  one.give_back(a, start);
  CHECK_FALSE(one.wanted_elsewhere());
  CHECK_FALSE(one.spare());
  const auto waiter = waits(other.lease(allowed, start));
  CHECK(told == 1);
  SECTION("an idle connection is given up") {
    CHECK(one.spare() == a);
    CHECK(one.open() == 1);
    CHECK(other.dial_for_waiter(start)->waiter == waiter);
    CHECK_FALSE(one.wanted_elsewhere());
  }
  SECTION("one that has served, too, even if it is waited for here") {
    CHECK(reused(one.lease(allowed, start)) == a);
    waits(one.lease(allowed, start));
    CHECK(one.wanted_elsewhere());
    one.lost(b);
    CHECK_FALSE(one.dial_for_waiter(start));
    CHECK(other.dial_for_waiter(start));
  }
  SECTION("unless nobody waits any more") {
    other.stop_waiting(waiter);
    CHECK_FALSE(one.spare());
  }
}
