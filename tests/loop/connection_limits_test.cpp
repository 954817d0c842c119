#include "daemon/session/connection_limits.h"

#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace postern;
using session::ConnectionTable;
using Verdict = ConnectionTable::Verdict;

TEST_CASE("connections are counted in total and by address, and places become free again") {
  ConnectionTable table;
  const session::ConnectionLimits limits{3, 2, 10};
  const auto a = *IpAddress::parse("192.0.2.1"), b = *IpAddress::parse("2001:db8::1");
  CHECK(table.enter(a, limits) == Verdict::Admitted);
  CHECK(table.enter(a, limits) == Verdict::Admitted);
  CHECK(table.enter(a, limits) == Verdict::TooManyFromAddress);
  CHECK(table.enter(b, limits) == Verdict::Admitted);
  CHECK(table.enter(b, limits) == Verdict::TooMany);
  table.leave(a);
  CHECK(table.enter(b, limits) == Verdict::Admitted);
  CHECK(table.total() == 3);
}

TEST_CASE("a network is a /24, or a /64 of IPv6, and has a limit of its own") {
  ConnectionTable table;
  const session::ConnectionLimits limits{10, 2, 3};
  const auto at = [](const char* text) { return *IpAddress::parse(text); };
  CHECK(table.enter(at("192.0.2.1"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("192.0.2.1"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("::ffff:192.0.2.255"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("192.0.2.7"), limits) == Verdict::TooManyFromNetwork);
  CHECK(table.enter(at("192.0.3.7"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("2001:db8::1"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("2001:db8::ffff:0:0:1"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("2001:db8::2"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("2001:db8::3"), limits) == Verdict::TooManyFromNetwork);
  CHECK(table.enter(at("2001:db8:0:1::3"), limits) == Verdict::Admitted);
  CHECK(table.total() == 8);
  // Who was turned away has left no trace in the count of its address.
  table.leave(at("192.0.2.1"));
  CHECK(table.enter(at("192.0.2.7"), limits) == Verdict::Admitted);
  CHECK(table.enter(at("192.0.2.7"), limits) == Verdict::TooManyFromNetwork);
}

TEST_CASE("threads that come and go leave nothing behind") {
  ConnectionTable table;
  const session::ConnectionLimits limits{100, 100, 100};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&table, &limits, t] {
      const auto address = *IpAddress::parse("192.0.2." + std::to_string(t % 2 + 1));
      for (int i = 0; i < 5000; ++i) {
        if (table.enter(address, limits) == Verdict::Admitted) table.leave(address);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(table.total() == 0);
  CHECK(table.enter(*IpAddress::parse("192.0.2.1"), {1, 1, 1}) == Verdict::Admitted);
}
