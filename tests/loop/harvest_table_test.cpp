#include "daemon/session/harvest_table.h"

#include <fmt/format.h>

#include <thread>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace std::chrono_literals;
using Verdict = HarvestTable::Verdict;

namespace {
const Instant start{1h};
IpAddress address(const std::string& text) { return IpAddress::parse(text).value(); }
const delivery::HarvestSettings settings{.unknown_per_address = 4, .unknown_per_network = 10, .window = 100s, .exempt = {}};

void count(HarvestTable& table, const std::string& client, int times, Instant now = start) {
  for (int i = 0; i < times; ++i) table.count(address(client), settings, now);
}
}  // namespace

TEST_CASE("a client's budget of unknown recipients comes back evenly") {
  HarvestTable table;
  const auto client = address("192.0.2.1");
  CHECK(table.look(client, settings, start) == Verdict::Within);
  count(table, "192.0.2.1", 3);
  CHECK(table.look(client, settings, start) == Verdict::Within);
  count(table, "192.0.2.1", 1);
  CHECK(table.look(client, settings, start) == Verdict::AddressOver);
  CHECK(table.look(address("192.0.2.2"), settings, start) == Verdict::Within);
  CHECK(table.look(client, settings, start + 24s) == Verdict::AddressOver);
  CHECK(table.look(client, settings, start + 25s) == Verdict::Within);
  count(table, "192.0.2.1", 1, start + 25s);
  CHECK(table.look(client, settings, start + 25s) == Verdict::AddressOver);
  // However many were named, no more than a whole window has to pass.
  count(table, "192.0.2.1", 1000, start + 25s);
  CHECK(table.look(client, settings, start + 50s) == Verdict::Within);
  CHECK(table.look(client, settings, start + 1h) == Verdict::Within);
}

TEST_CASE("neighbours share the budget of their network") {
  HarvestTable table;
  SECTION("a /24") {
    count(table, "192.0.2.1", 4);
    count(table, "192.0.2.2", 4);
    count(table, "192.0.2.3", 2);
    CHECK(table.look(address("192.0.2.1"), settings, start) == Verdict::AddressOver);
    CHECK(table.look(address("192.0.2.200"), settings, start) == Verdict::NetworkOver);
    CHECK(table.look(address("192.0.3.1"), settings, start) == Verdict::Within);
  }
  SECTION("a /64") {
    for (int i = 1; i <= 10; ++i) count(table, fmt::format("2001:db8::{}", i), 1);
    CHECK(table.look(address("2001:db8::ffff"), settings, start) == Verdict::NetworkOver);
    CHECK(table.look(address("2001:db8:0:1::1"), settings, start) == Verdict::Within);
  }
}

TEST_CASE("no budget means no limit, and some clients are not counted") {
  HarvestTable table;
  auto changed = settings;
  changed.unknown_per_address = 0;
  changed.unknown_per_network = 0;
  for (int i = 0; i < 100; ++i) table.count(address("192.0.2.1"), changed, start);
  CHECK(table.look(address("192.0.2.1"), changed, start) == Verdict::Within);
  changed = settings;
  changed.exempt = {*Network::parse("192.0.2.0/28")};
  for (int i = 0; i < 100; ++i) table.count(address("192.0.2.1"), changed, start);
  CHECK(table.look(address("192.0.2.1"), changed, start) == Verdict::Within);
  CHECK(table.look(address("192.0.2.77"), changed, start) == Verdict::Within);
}

TEST_CASE("of too many clients those who were quiet for longest are forgotten") {
  HarvestTable table(64);  // one in each part of the table
  count(table, "192.0.2.1", 4);
  REQUIRE(table.look(address("192.0.2.1"), settings, start) == Verdict::AddressOver);
  for (int i = 0; i < 4096; ++i) count(table, fmt::format("10.0.{}.{}", i / 256, i % 256), 1);
  CHECK(table.look(address("192.0.2.1"), settings, start) == Verdict::Within);
}

TEST_CASE("all workers count in one table") {
  HarvestTable table;
  auto many = settings;
  many.unknown_per_address = 4000;
  many.unknown_per_network = 0;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        table.count(address("192.0.2.1"), many, start);
        (void)table.look(address("192.0.2.1"), many, start);
      }
    });
  }
  for (auto& worker : workers) worker.join();
  CHECK(table.look(address("192.0.2.1"), many, start) == Verdict::AddressOver);
}
