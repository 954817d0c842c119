#include "observe/repeats.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::observe;
using namespace std::chrono_literals;

namespace {

const Instant noon{1h};

Note down(const std::string& message, const std::string& topic = "backend store") {
  return {Level::Warning, message, {}, topic, "down"};
}
Note up() { return {Level::Info, "answers again", {}, "backend store", "up"}; }

std::vector<std::string> texts(const std::vector<Note>& notes) {
  std::vector<std::string> made;
  for (const Note& note : notes) made.push_back(note.message);
  return made;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("the first of its kind is written, the next are counted and summed up") {
  Repeats repeats;
  CHECK(texts(repeats.admit(down("refused; 100 ms"), noon)) == Texts{"refused; 100 ms"});
  for (int i = 1; i <= 36; ++i) CHECK(repeats.admit(down("refused; 200 ms"), noon + i * 1s).empty());
  CHECK(repeats.admit(down("refused; 30 s"), noon + 50s).empty());
  CHECK(repeats.due(noon + 59s).empty());
  const auto sums = repeats.due(noon + 60s);
  CHECK(texts(sums) == Texts{"refused; 30 s (repeated 37 times in 60 s)"});
  CHECK(sums.at(0).level == Level::Warning);

  // As long as it goes on, it is a line a minute.
  CHECK(repeats.admit(down("refused"), noon + 61s).empty());
  CHECK(texts(repeats.due(noon + 125s)) == Texts{"refused (repeated once in 65 s)"});
  CHECK(repeats.due(noon + 190s).empty());
  CHECK(texts(repeats.admit(down("refused"), noon + 191s)) == Texts{"refused"});
}

TEST_CASE("a change is always written, and ends the run before it") {
  Repeats repeats;
  repeats.admit(down("refused"), noon);
  repeats.admit(down("refused"), noon + 1s);
  CHECK(texts(repeats.admit(up(), noon + 5s)) == Texts{"refused (repeated once in 5 s)", "answers again"});
  CHECK(repeats.admit(up(), noon + 6s).empty());
  CHECK(texts(repeats.admit(down("refused"), noon + 7s)) == Texts{"answers again (repeated once in 2 s)", "refused"});
}

TEST_CASE("subjects do not hide each other") {
  Repeats repeats;
  CHECK(repeats.admit(down("a", "one"), noon).size() == 1);
  CHECK(repeats.admit(down("b", "two"), noon).size() == 1);
  CHECK(repeats.admit(down("a", "one"), noon).empty());
}

TEST_CASE("what has no topic is never left out") {
  Repeats repeats;
  for (int i = 0; i < 3; ++i) CHECK(repeats.admit(Note{Level::Info, "audit", {}, {}, {}}, noon).size() == 1);
  CHECK(repeats.finish(noon + 1h).empty());
}

TEST_CASE("without anybody who asks, a late repeat is written and the count before it is not lost") {
  Repeats repeats;
  repeats.admit(down("refused"), noon);
  repeats.admit(down("refused"), noon + 1s);
  CHECK(texts(repeats.admit(down("refused"), noon + 120s)) == Texts{"refused (repeated once in 2 min)", "refused"});
}

TEST_CASE("memory is bounded, and nothing uncounted is forgotten") {
  Repeats repeats;
  repeats.admit(down("first", "first"), noon);
  repeats.admit(down("first", "first"), noon);
  std::size_t written = 0;
  for (std::size_t i = 0; i < 2 * Repeats::topics_max; ++i) {
    for (const Note& note : repeats.admit(down("x", std::to_string(i)), noon + 1s)) {
      written += note.message.find("first (repeated once") == 0 ? 1 : 0;
    }
  }
  CHECK(written == 1);
  for (std::size_t i = 0; i < 2 * Repeats::topics_max; ++i) repeats.admit(down("x", std::to_string(i)), noon + 2s);
  CHECK(repeats.finish(noon + 3s).size() <= Repeats::topics_max);
}
