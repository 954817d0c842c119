// That the runner itself can fail, and that no dialogue is left out.
#include <filesystem>

#include "tests/support/catch.h"
#include "tests/transcripts/runner.h"

using namespace postern;
using namespace postern::transcripts;

extern const std::size_t dialogue_count;

namespace {

std::string run(std::string_view text) {
  const auto dialogue = parse_dialogue(text);
  REQUIRE(dialogue);
  return differences(*dialogue, {Cut::Kind::EachByte}, Answering::LateLastFirst);
}

}  // namespace

TEST_CASE("every dialogue file is a test case") {
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(DIALOGUES)) {
    if (entry.path().extension() == ".txt") ++files;
  }
  CHECK(files == dialogue_count);
}

TEST_CASE("the runner sees what is missing, too much, or different") {
  CHECK(run("S: 220 mx.example.net ESMTP\nC: NOOP\nS: 250 2.0.0 OK\n").empty());
  CHECK_FALSE(run("S: 220 mx.example.net ESMTP\nC: NOOP\n").empty());
  CHECK_FALSE(run("S: 220 mx.example.net ESMTP\nC: NOOP\nS: 250 2.0.0 OK\nS: 250 2.0.0 OK\n").empty());
  CHECK_FALSE(run("S: 220 mx.example.net ESMTP\nC: NOOP\nS: 250 2.0.0 Ok\n").empty());
  CHECK_FALSE(run("S: 220 mx.example.net ESMTP\nC: QUIT\nS: (221)\n").empty());
  CHECK(run("S: 220 mx.example.net ESMTP\nC: QUIT\nS: (221)\nE: closing quit\n").empty());
  CHECK_FALSE(run("S: 220 mx.example.net ESMTP\nC: EHLO x\nC: MAIL FROM:<>\nS: (250)\nS: (250)\nE: mail <a@b.c>\n").empty());
}

TEST_CASE("what a backend gets is looked at, too") {
  const std::string opened = "option backend late\nS: (220)\nC: EHLO x\nS: (250)\nC: MAIL FROM:<>\nE: connect mta\nX: connected\n";
  CHECK(run(opened + "B: 220 mta\nR: EHLO x\n").empty());
  CHECK_FALSE(run(opened + "B: 220 mta\n").empty());
  CHECK_FALSE(run(opened + "B: 220 mta\nR: EHLO y\n").empty());
  CHECK_FALSE(run(opened + "B: 220 mta\nR: EHLO x\nR: MAIL FROM:<>\n").empty());
}

TEST_CASE("a dialogue that cannot be understood is an error with its line") {
  CHECK(parse_dialogue("S: 220\nwhat\n").error().text == "line 2: cannot understand \"what\"");
  CHECK(parse_dialogue("C: \\q\n").error().text == "line 1: bad escape in \"\\q\"");
  CHECK(parse_dialogue("X: rain\n").error().text == "line 1: \"rain\" cannot happen");
  CHECK(parse_dialogue("A: rcpt nobody 550\n").error().text == "line 1: \"rcpt nobody 550\" needs a path and a reply");
}
