#include "daemon/session/connection_limits.h"

#include <thread>
#include <vector>

#include "tests/support/catch.h"

using namespace postern;
using session::ConnectionTable;
using Verdict = ConnectionTable::Verdict;

TEST_CASE("connections are counted in total and by address, and places become free again") {
  ConnectionTable table;
  const session::ConnectionLimits limits{3, 2};
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

TEST_CASE("threads that come and go leave nothing behind") {
  ConnectionTable table;
  const session::ConnectionLimits limits{100, 100};
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
  CHECK(table.enter(*IpAddress::parse("192.0.2.1"), {1, 1}) == Verdict::Admitted);
}
