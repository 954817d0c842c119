#include "certs/slots.h"

#include <map>
#include <random>
#include <vector>

#include "tests/support/catch.h"

using postern::certs::Slots;

TEST_CASE("each generation keeps its own elements") {
  Slots<int> slots;
  std::vector<std::pair<Slots<int>, std::vector<int>>> generations;
  std::vector<int> model;
  std::mt19937 random(11);
  for (std::uint64_t edition = 1; edition <= 40; ++edition) {
    {
      Slots<int>::Editor editor(slots, edition);
      if (edition % 4 == 1) {
        model.resize(model.size() + random() % 9000);
        editor.resize_up(model.size());
      }
      for (int i = 0; i < 50 && !model.empty(); ++i) {
        const auto at = random() % model.size();
        model[at] = static_cast<int>(random() % 1000);
        editor.at(at) = model[at];
      }
    }
    generations.emplace_back(slots, model);
  }
  REQUIRE(model.size() > 128 * 256);  // three levels
  for (const auto& [held, expected] : generations) {
    REQUIRE(held.size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const int* item = held.find(i);
      REQUIRE((item == nullptr ? 0 : *item) == expected[i]);
    }
    CHECK(held.find(expected.size()) == nullptr);
  }
}

TEST_CASE("changing one element of many copies a handful of nodes") {
  struct Counted {
    static int& copies() {
      static int count = 0;
      return count;
    }
    Counted() = default;
    Counted(const Counted&) { ++copies(); }
    Counted& operator=(const Counted&) = default;
  };
  Slots<Counted> slots;
  Slots<Counted>::Editor(slots, 1).resize_up(100000);
  {
    Slots<Counted>::Editor first(slots, 1);
    for (std::size_t i = 0; i < 100000; ++i) first.at(i) = Counted();
  }
  const auto before = slots;
  Counted::copies() = 0;
  Slots<Counted>::Editor editor(slots, 2);
  editor.at(77777) = Counted();
  editor.at(77778) = Counted();
  CHECK(Counted::copies() == 128);  // one leaf
  CHECK(before.find(77777) != slots.find(77777));
  CHECK(before.find(5) == slots.find(5));
}
