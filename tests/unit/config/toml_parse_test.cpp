#include "config/tree.h"
#include "tests/support/catch.h"

using namespace postern::config;

namespace {

std::string described(const Table& table, std::string_view key) {
  const Member* member = find(table, key);
  return member == nullptr ? "nothing" : describe(member->node) + " at " + member->node.place.text();
}

std::string syntax_error(const std::string& text) {
  const auto parsed = parse_toml(text, "p.toml");
  return parsed ? "" : parsed.error().place.text() + ": " + parsed.error().text;
}

}  // namespace

TEST_CASE("a tree knows what stands where") {
  const auto parsed = parse_toml(
      "text = \"a\\nb\"\n"
      "number = -7\n"
      "part = 1.5\n"
      "yes = true\n"
      "day = 1979-05-27\n"
      "list = [1, \"two\"]\n"
      "[table]\n"
      "key = \"v\"\n"
      "[[many]]\n"
      "[[many]]\n"
      "x = 1\n",
      "p.toml");
  REQUIRE(parsed);
  CHECK(described(*parsed, "text") == "\"a\\x0ab\" at p.toml:1:8");
  CHECK(described(*parsed, "number") == "-7 at p.toml:2:10");
  CHECK(described(*parsed, "part") == "1.5 at p.toml:3:8");
  CHECK(described(*parsed, "yes") == "true at p.toml:4:7");
  CHECK(described(*parsed, "day") == "a date or time at p.toml:5:7");
  CHECK(described(*parsed, "list") == "a list at p.toml:6:8");
  CHECK(described(*parsed, "table") == "a table at p.toml:7:1");
  CHECK(described(*parsed, "absent") == "nothing");
  const auto& table = std::get<Table>(find(*parsed, "table")->node.value);
  CHECK(find(table, "key")->place.text() == "p.toml:8:1");
  const auto& many = std::get<List>(find(*parsed, "many")->node.value);
  REQUIRE(many.size() == 2);
  CHECK(many[1].place.text() == "p.toml:10:1");
  CHECK(described(std::get<Table>(many[1].value), "x") == "1 at p.toml:11:5");
}

TEST_CASE("syntax errors have a place") {
  CHECK(syntax_error("a = 1\nb = = 2\n").starts_with("p.toml:2:5: "));
  CHECK(syntax_error("a = 1\na = 2\n").starts_with("p.toml:2:"));
  CHECK(syntax_error("a = 1\na = 2\n").ends_with(": it stands above already"));
  CHECK(syntax_error("a = mx.example.com\n").ends_with("; text stands in double quotes: key = \"value\""));
  CHECK(syntax_error("a = \"\xff\"\n").starts_with("p.toml:1:"));
  CHECK(syntax_error("a = \"\x01\"\n").starts_with("p.toml:1:"));
  CHECK(syntax_error("[open\n").starts_with("p.toml:1:"));
}

TEST_CASE("what makes the parser assert is an error with a line") {
  CHECK(syntax_error("a = 1\n[b]\n[{c]\nd = 1\n") == "p.toml:3:1: expected a [section] or key = value");
  CHECK(syntax_error("[[=]]") == "p.toml:1:1: expected a [section] or key = value");
}

TEST_CASE("nesting is bounded") {
  CHECK(syntax_error("a.b.c.d = 1\n").empty());
  std::string key = "a";
  for (int i = 0; i < 40; ++i) key += ".a";
  CHECK(syntax_error(key + " = 1\n").find("nested") != std::string::npos);
  CHECK_FALSE(syntax_error("a = " + std::string(20'000, '[')).empty());
}
