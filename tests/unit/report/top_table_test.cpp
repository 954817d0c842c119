#include "report/top_table.h"

#include <map>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;
using namespace std::chrono_literals;

namespace {

enum class Of : std::uint8_t { Events };
using One = Counts<Of, 1>;
const WallTime now{std::chrono::seconds(1'795'392'000)};

}  // namespace

TEST_CASE("the heavy ones stay, however many light ones come by") {
  constexpr std::size_t rows_max = 50;
  TopTable<One> table(rows_max);
  std::map<std::string, std::uint64_t> truth;
  const auto event = [&](const std::string& key) {
    ++truth[key];
    ++table.touch(key).counts.at(now)[Of::Events];
    REQUIRE(table.rows().size() <= rows_max);
  };
  for (int round = 0; round < 2000; ++round) {
    event("heavy" + std::to_string(round % 5));
    event("light" + std::to_string(round));
    if (round % 3 == 0) event("middling" + std::to_string(round % 40));
  }
  for (const auto& [key, row] : table.rows()) {
    INFO(key);
    // What a row lacks is no more than it admits.
    const std::uint64_t counted = row.counts.sum(now, Window::Hour)[Of::Events];
    CHECK(counted <= truth[key]);
    CHECK(counted + row.missing >= truth[key]);
  }
  for (int i = 0; i < 5; ++i) {
    const auto* row = table.find("heavy" + std::to_string(i));
    REQUIRE(row != nullptr);
    CHECK(row->missing == 0);
    CHECK(row->counts.sum(now, Window::Hour)[Of::Events] == 400);
  }
  // Whatever weighs more than anything that ever went is there.
  for (const auto& [key, weight] : truth) CHECK((weight <= table.floor() || table.find(key) != nullptr));
}

TEST_CASE("rows without counters go, and so does the doubt about those that went before") {
  TopTable<One> table(10);
  table.age(now, 1h);
  for (int i = 0; i < 100; ++i) ++table.touch(std::to_string(i)).counts.at(now)[Of::Events];
  CHECK(table.floor() > 0);
  table.age(now + 3h, 1h);
  CHECK(table.rows().empty());
  CHECK(table.touch("new").missing == 0);
}

TEST_CASE("a smaller table drops what no longer fits") {
  TopTable<One> table(100);
  for (int i = 0; i < 100; ++i) (void)table.touch(std::to_string(i));
  (void)table.touch("7");
  table.resize(10);
  CHECK(table.rows().size() <= 10);
  CHECK(table.find("7") != nullptr);
}
