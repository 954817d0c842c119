#include "config/section.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::config;

namespace {

/// Reads one section named "s" that holds `text`, and keeps what was said about it.
struct Sample {
  explicit Sample(const std::string& text) : table(parse_toml(text, "p.toml").value()) {}
  Section section() { return Section(table, Place{}, "s", diagnostics); }
  std::string said() const {
    std::string all;
    for (const Diagnostic& diagnostic : diagnostics.sorted()) all += diagnostic.rendered() + "\n";
    return all;
  }

  Table table;
  Diagnostics diagnostics;
};

}  // namespace

TEST_CASE("values of the right type and range are taken") {
  Sample sample(
      "yes = true\nword = \"b\"\nnumber = 7\nsize = \"64KiB\"\noctets = 512\ntime = \"90s\"\npath = \"x/y\"\n"
      "one = \"a\"\nmany = [\"a\", \"b\"]\n");
  const Section section = sample.section();
  bool yes = false;
  std::string path, word;
  unsigned number = 0;
  std::uint64_t size = 0, octets = 0;
  Duration time{};
  int chosen = 0;
  section.boolean("yes", yes);
  section.string("word", word);
  section.path("path", path);
  section.integer("number", number, {1u, 7u});
  section.size("size", size, {std::uint64_t{1}, std::uint64_t{65536}});
  section.size("octets", octets, {std::uint64_t{512}, std::uint64_t{65536}});
  section.duration("time", time, {std::chrono::seconds(1), std::chrono::seconds(90)});
  section.choice("word", chosen, {{"a", 1}, {"b", 2}});
  CHECK(yes);
  CHECK(word == "b");
  CHECK(path == "x/y");
  CHECK(number == 7);
  CHECK(size == 65536);
  CHECK(octets == 512);
  CHECK(time == std::chrono::seconds(90));
  CHECK(chosen == 2);
  CHECK(section.texts("one").size() == 1);
  CHECK(section.texts("many").size() == 2);
  CHECK(section.texts("absent").empty());
  CHECK(sample.said().empty());
}

TEST_CASE("what is wrong is said, and the value before stays") {
  Sample sample("yes = 1\nword = \"c\"\nnumber = 8\nsize = \"big\"\ntime = \"5\"\npath = \"\"\nmany = [\"a\", 2]\n");
  const Section section = sample.section();
  bool yes = true;
  std::string path = "before";
  unsigned number = 3;
  std::uint64_t size = 4;
  Duration time{5};
  int chosen = 6;
  section.boolean("yes", yes);
  section.choice("word", chosen, {{"a", 1}, {"b", 2}});
  section.integer("number", number, {1u, 7u});
  section.size("size", size, {std::uint64_t{1}, std::uint64_t{10}});
  section.duration("time", time, {std::chrono::milliseconds(1), std::chrono::minutes(90)});
  section.path("path", path);
  CHECK(section.texts("many").size() == 1);
  CHECK(yes);
  CHECK(path == "before");
  CHECK(number == 3);
  CHECK(size == 4);
  CHECK(time == Duration(5));
  CHECK(chosen == 6);
  CHECK(sample.said() ==
        "p.toml:1:7: s.yes: expected true or false, found 1\n"
        "p.toml:2:8: s.word: expected \"a\" or \"b\", found \"c\"\n"
        "p.toml:3:10: s.number: expected an integer from 1 to 7, found 8\n"
        "p.toml:4:8: s.size: expected a size from 1 to 10 octets, such as \"64KiB\" or \"50MB\", found \"big\"\n"
        "p.toml:5:8: s.time: expected a duration from \"1ms\" to \"90m\", found \"5\"\n"
        "p.toml:6:8: s.path: expected a string that is not empty, found \"\"\n"
        "p.toml:7:14: s.many: expected strings that are not empty, found 2\n");
}

TEST_CASE("tables in single and double brackets") {
  Sample sample("[single]\n[[double]]\n[[double]]\n");
  const Section section = sample.section();
  CHECK(section.table("single"));
  CHECK(section.tables("double").size() == 2);
  CHECK_FALSE(section.table("absent"));
  CHECK(section.tables("absent").empty());
  CHECK(sample.said().empty());
  CHECK_FALSE(section.table("double"));
  CHECK(section.tables("single").empty());
  CHECK(sample.said().find("s.single: expected one or more sections [[single]], in double brackets, found a table") !=
        std::string::npos);
  CHECK(sample.said().find("s.double: expected a table") != std::string::npos);
}

TEST_CASE("a name that is claimed twice") {
  Sample sample("a = \"x\"\nb = \"x\"\n");
  const Section section = sample.section();
  UniqueNames names("thing");
  CHECK(names.claim(section, "a", section.text("a")->place, "x"));
  CHECK(names.contains("x"));
  CHECK_FALSE(names.claim(section, "b", section.text("b")->place, "x"));
  CHECK(sample.said() == "p.toml:2:5: s.b: the thing \"x\" stands already at p.toml:1:5; remove one of the two\n");
}

TEST_CASE("durations as they are written") {
  using namespace std::chrono;
  CHECK(as_written(seconds(0)) == "0ms");
  CHECK(as_written(milliseconds(1500)) == "1500ms");
  CHECK(as_written(seconds(90)) == "90s");
  CHECK(as_written(minutes(5)) == "5m");
  CHECK(as_written(hours(24)) == "1d");
}
