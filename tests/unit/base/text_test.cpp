#include "base/text.h"

#include "tests/support/catch.h"

using namespace postern;

TEST_CASE("things are counted with their plural") {
  CHECK(counted(1, "name") == "1 name");
  CHECK(counted(0, "name") == "0 names");
  CHECK(counted(2, "entry", "entries") == "2 entries");
  CHECK(counted(1, "entry", "entries") == "1 entry");
}

TEST_CASE("escaped text is one safe field") {
  CHECK(escaped("plain text 1") == "plain text 1");
  CHECK(escaped("a\r\nb\"c\\d(e)\x7f\xff") == "a\\x0d\\x0ab\\x22c\\x5cd\\x28e\\x29\\x7f\\xff");
  CHECK(escaped("abcdef", 3) == "abc...");
  CHECK(escaped("ab\n", 5) == "ab...");
}

TEST_CASE("sizes") {
  CHECK(parse_size("50MB") == 50'000'000u);
  CHECK(parse_size("64 KiB") == 65536u);
  CHECK(parse_size("0") == 0u);
  CHECK_FALSE(parse_size("MB"));
  CHECK_FALSE(parse_size("-1"));
  CHECK_FALSE(parse_size("1.5MB"));
  CHECK_FALSE(parse_size("99999999999999999999"));
  CHECK_FALSE(parse_size("18446744073709551615KB"));
}

TEST_CASE("durations") {
  CHECK(parse_duration("250ms") == std::chrono::milliseconds(250));
  CHECK(parse_duration("5m") == std::chrono::minutes(5));
  CHECK(parse_duration("7d") == std::chrono::hours(168));
  CHECK_FALSE(parse_duration("5"));
  CHECK_FALSE(parse_duration("5 years"));
  CHECK_FALSE(parse_duration("99999999999w"));
  CHECK(readable(std::chrono::milliseconds(250)) == "250 ms");
  CHECK(readable(std::chrono::milliseconds(1500)) == "1.5 s");
  CHECK(readable(std::chrono::minutes(3)) == "3 min");
}

TEST_CASE("dates do not depend on the locale") {
  const WallTime time{std::chrono::seconds(1'795'460'590)};
  CHECK(rfc3339(time) == "2026-11-23T19:03:10Z");
  CHECK(rfc5322_date(time) == "Mon, 23 Nov 2026 19:03:10 +0000");
}

TEST_CASE("misspelt words find the nearest known one, or none") {
  CHECK(nearest_word("hostnme", {"hostname", "workers"}) == "hostname");
  CHECK_FALSE(nearest_word("zzzzzz", {"hostname", "workers"}));
}

TEST_CASE("decimal numbers") {
  CHECK(parse_decimal("18446744073709551615") == 18446744073709551615ull);
  CHECK_FALSE(parse_decimal("18446744073709551616"));
  CHECK_FALSE(parse_decimal(""));
  CHECK_FALSE(parse_decimal("+1"));
  CHECK_FALSE(parse_decimal("1 "));
}

TEST_CASE("splitting and trimming") {
  CHECK(split("a,,b", ',') == std::vector<std::string_view>{"a", "", "b"});
  CHECK(split("", ',') == std::vector<std::string_view>{""});
  CHECK(trimmed(" \t a b \r\n") == "a b");
}
