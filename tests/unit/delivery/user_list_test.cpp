#include "delivery/user_list.h"

#include <fmt/format.h>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;

namespace {

const UserFile plain{.path = "users.txt"};

std::shared_ptr<const UserList> list_of(std::string_view text, const UserFile& settings = plain) {
  const ParsedUsers parsed = parse_user_list(text, settings);
  for (const auto& error : parsed.errors) UNSCOPED_INFO(error);
  REQUIRE(parsed.list);
  return parsed.list;
}

bool has(const std::shared_ptr<const UserList>& list, std::string_view address) {
  const auto mailbox = smtp::parse_mailbox(address);
  REQUIRE(mailbox);
  return list->contains(*mailbox);
}

std::vector<std::string> errors_of(std::string_view text) {
  const ParsedUsers parsed = parse_user_list(text, plain);
  CHECK_FALSE(parsed.list);
  return parsed.errors;
}

}  // namespace

TEST_CASE("users, users of a domain, and whole domains") {
  const auto list = list_of(
      "# the staff\n"
      "\n"
      "alice\n"
      "bob@example.com   # not at the other domain\n"
      "  carol@example.com\tOK\r\n"
      "@everybody.test\n"
      "#dave");
  CHECK(list->size() == 4);
  CHECK(has(list, "alice@example.com"));
  CHECK(has(list, "alice@other.test"));
  CHECK(has(list, "bob@example.com"));
  CHECK_FALSE(has(list, "bob@other.test"));
  CHECK(has(list, "carol@example.com"));
  CHECK(has(list, "whoever@everybody.test"));
  CHECK_FALSE(has(list, "whoever@sub.everybody.test"));
  CHECK_FALSE(has(list, "dave@example.com"));
  CHECK_FALSE(has(list, "alic@example.com"));
  CHECK_FALSE(has(list, "alicee@example.com"));
}

TEST_CASE("postmaster without a domain is always there") {
  CHECK(list_of("alice\n")->contains({"PostMaster", ""}));
  CHECK_FALSE(list_of("alice\n")->contains({"bob", ""}));
  CHECK_FALSE(has(list_of("alice\n"), "postmaster@example.com"));
}

TEST_CASE("case: of domains never, of local parts as configured") {
  const auto text = "Alice@Example.COM\n";
  CHECK(has(list_of(text), "aLICE@example.com"));
  const auto exact = list_of(text, {.path = "u", .local_part_case = UserFile::LocalPartCase::Counts});
  CHECK(has(exact, "Alice@EXAMPLE.com"));
  CHECK_FALSE(has(exact, "alice@example.com"));
}

TEST_CASE("address extensions") {
  const auto list = list_of("alice@example.com\nbob\nlists+announce@example.com\n+odd\n");
  CHECK(has(list, "alice+news@example.com"));
  CHECK(has(list, "alice+news+more@example.com"));
  CHECK(has(list, "alice+@example.com"));
  CHECK(has(list, "BOB+x@other.test"));
  CHECK_FALSE(has(list, "alice-news@example.com"));
  CHECK(has(list, "lists+announce@example.com"));
  CHECK_FALSE(has(list, "lists@example.com"));
  CHECK_FALSE(has(list, "lists+other@example.com"));
  CHECK(has(list, "+odd@example.com"));
  CHECK_FALSE(has(list, "+even@example.com"));
  const auto both = list_of("alice\n", {.path = "u", .delimiters = "-+"});
  CHECK(has(both, "alice-x@example.com"));
  CHECK(has(both, "alice+x@example.com"));
  const auto none = list_of("alice\n", {.path = "u", .delimiters = ""});
  CHECK_FALSE(has(none, "alice+x@example.com"));
}

TEST_CASE("quoted local parts, and those of other alphabets") {
  const auto list = list_of(
      "\"two words\"@example.com and more\n"
      "\"a@b\"\n"
      "d\xC3\xB6ner@b\xC3\xBC" "cher.example\n"
      "issue#5@example.com\n");
  CHECK(list->size() == 4);
  CHECK(has(list, "\"two words\"@example.com"));
  CHECK(has(list, "\"a@b\"@example.com"));
  CHECK(has(list, "d\xC3\xB6ner@xn--bcher-kva.example"));
  CHECK(has(list, "d\xC3\xB6ner@B\xC3\xBC" "cher.example"));
  CHECK(has(list, "issue#5@example.com"));
  // `a@b` with a quoted at sign is no `a` at `b`.
  CHECK_FALSE(has(list, "a@b"));
}

TEST_CASE("a bad line makes the whole list bad, and is named") {
  CHECK(errors_of("alice\nbob@@example.com\n") ==
        std::vector<std::string>{"users.txt:2: \"bob@@example.com\" is neither a user, nor user@domain, nor @domain"});
  CHECK(errors_of("alice@a..example\n@\n").size() == 2);
  CHECK(errors_of("alice@[192.0.2.1]\n").size() == 1);
  CHECK(errors_of("a..b\n").size() == 1);
  CHECK(errors_of("\xFF\xFE@example.com\n").size() == 1);
  CHECK(errors_of("\"unfinished@example.com\n").size() == 1);
  CHECK(errors_of(std::string_view("ali\0ce\n", 7)) ==
        std::vector<std::string>{"users.txt:1: holds a NUL octet: this is no text"});
  CHECK(errors_of("x\n" + std::string(2000, 'a') + "\n") ==
        std::vector<std::string>{"users.txt:2: has more than 1000 octets"});
}

TEST_CASE("the first ten errors are enough") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "@@@\n";
  CHECK(errors_of(text).size() == 10);
  CHECK(errors_of(text).back().starts_with("users.txt:10: "));
}

TEST_CASE("a list of nobody is a mistake") {
  for (const std::string_view text : {"", "\n\n", "# nobody\n", "\xEF\xBB\xBF"}) {
    const auto errors = errors_of(text);
    REQUIRE(errors.size() == 1);
    CHECK(errors.front().starts_with("users.txt: lists nobody"));
  }
}

TEST_CASE("a line that stands there twice is a warning") {
  const auto parsed = parse_user_list("\xEF\xBB\xBF" "alice\nbob\nAlice\nbob # again\n", plain);
  REQUIRE(parsed.list);
  CHECK(parsed.list->size() == 2);
  CHECK(has(parsed.list, "alice@example.com"));
  CHECK(parsed.warnings ==
        std::vector<std::string>{"users.txt:3: this entry stands there already (2 such lines in all)"});
}

TEST_CASE("every entry of a large list is found, and nothing else is") {
  std::string text;
  constexpr int lines = 20'000;
  for (int i = 0; i < lines; ++i) text += fmt::format("user{}@d{}.example\n", i, i % 7);
  const auto list = list_of(text);
  CHECK(list->size() == lines);
  int found = 0;
  int mistaken = 0;
  for (int i = 0; i < lines; ++i) {
    found += list->contains({fmt::format("user{}", i), fmt::format("d{}.example", i % 7)}) ? 1 : 0;
    mistaken += list->contains({fmt::format("user{}", i), fmt::format("d{}.example", (i + 1) % 7)}) ? 1 : 0;
  }
  CHECK(found == lines);
  CHECK(mistaken == 0);
  // Four octets a slot, of which there are at most 2.7 times as many as lines.
  CHECK(list->memory_octets() < text.size() + lines * 12 + 4096);
}
