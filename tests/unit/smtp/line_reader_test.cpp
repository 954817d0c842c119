#include "smtp/line_reader.h"

#include <string>
#include <vector>

#include "tests/support/catch.h"

using namespace postern::smtp;

namespace {

struct Seen {
  Line::Kind kind;
  std::string text;
  friend bool operator==(const Seen&, const Seen&) = default;
};

std::vector<Seen> read(std::string_view bytes, std::size_t step, std::size_t max = 20, LineEnds ends = LineEnds::CrlfOnly) {
  LineReader reader(max, ends);
  std::vector<Seen> seen;
  std::string waiting;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
    waiting += bytes.substr(0, step);
    std::string_view input = waiting;
    while (const auto line = reader.next(input)) seen.push_back({line->kind, std::string(line->text)});
    waiting = std::string(input);
    CHECK(waiting.size() < max);
  }
  return seen;
}

constexpr auto whole = Line::Kind::Whole;
constexpr auto too_long = Line::Kind::TooLong;
constexpr auto bare_cr = Line::Kind::BareCr;
constexpr auto bare_lf = Line::Kind::BareLf;

}  // namespace

TEST_CASE("lines end with CRLF") {
  for (const std::size_t step : {1u, 2u, 3u, 100u}) {
    CHECK(read("one\r\n\r\ntwo\r\nthr", step) == std::vector<Seen>{{whole, "one"}, {whole, ""}, {whole, "two"}});
  }
}

TEST_CASE("a lone LF or CR makes no command") {
  for (const std::size_t step : {1u, 2u, 100u}) {
    CHECK(read("one\ntwo\r\n", step) == std::vector<Seen>{{bare_lf, "one"}, {whole, "two"}});
    CHECK(read("o\rne\r\ntwo\r\r\n", step) == std::vector<Seen>{{bare_cr, "o\rne"}, {bare_cr, "two\r"}});
  }
  CHECK(read("one\ntwo\r\nth\rree\n", 1, 20, LineEnds::LoneLfToo) ==
        std::vector<Seen>{{whole, "one"}, {whole, "two"}, {bare_cr, "th\rree"}});
}

TEST_CASE("a line that is too long is eaten, and the next one is read") {
  const std::string fits(18, 'x');
  const std::string long_line(19, 'x');
  const std::string longer(1000, 'x');
  for (const std::size_t step : {1u, 7u, 2000u}) {
    CHECK(read(fits + "\r\nb\r\n", step) == std::vector<Seen>{{whole, fits}, {whole, "b"}});
    CHECK(read(long_line + "\r\nb\r\n", step) == std::vector<Seen>{{too_long, ""}, {whole, "b"}});
    CHECK(read(longer + "\r\nb\r\n", step) == std::vector<Seen>{{too_long, ""}, {whole, "b"}});
    CHECK(read(longer + "\nb\r\n", step) == std::vector<Seen>{{bare_lf, ""}, {whole, "b"}});
    CHECK(read(longer + "\nb\r\n", step, 20, LineEnds::LoneLfToo) == std::vector<Seen>{{too_long, ""}, {whole, "b"}});
  }
  CHECK(read(longer, 10).empty());
}
