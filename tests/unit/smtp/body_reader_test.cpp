#include "smtp/body_reader.h"

#include <string>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::smtp;
using Fault = BodyReader::Fault;

namespace {

constexpr BodyRules rejecting{Smuggling::Reject, 1'000'000, 0};
constexpr BodyRules normalizing{Smuggling::Normalize, 1'000'000, 0};

struct Outcome {
  std::string text;
  std::string left;  // of the input, behind the end of data
  bool at_end = false;
  std::optional<Fault> fault;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// Shows `bytes` to a reader in pieces of `step` octets, as a socket would.
Outcome read_in_steps(const BodyRules& rules, std::string_view bytes, std::size_t step) {
  BodyReader reader(rules);
  Outcome outcome;
  std::string waiting;
  for (; !bytes.empty() && !reader.at_end(); bytes.remove_prefix(std::min(step, bytes.size()))) {
    waiting += bytes.substr(0, step);
    std::string_view input = waiting;
    while (true) {
      const auto piece = reader.read(input);
      if (piece.empty()) break;
      outcome.text += piece;
    }
    waiting = std::string(input);
    if (!reader.at_end()) CHECK(waiting.size() <= 3);
  }
  outcome.left = waiting + std::string(bytes);
  outcome.at_end = reader.at_end();
  outcome.fault = reader.fault();
  if (outcome.fault) outcome.text.clear();
  return outcome;
}

Outcome read(const BodyRules& rules, std::string_view bytes) {
  const auto whole = read_in_steps(rules, bytes, bytes.size());
  for (std::size_t step = 1; step < std::min<std::size_t>(bytes.size(), 12); ++step) {
    INFO("steps of " << step);
    CHECK(read_in_steps(rules, bytes, step) == whole);
  }
  return whole;
}

Outcome good(std::string text, std::string left = "") { return {std::move(text), std::move(left), true, std::nullopt}; }
Outcome bad(Fault fault, std::string left = "") { return {"", std::move(left), true, fault}; }

}  // namespace

TEST_CASE("text ends at CRLF.CRLF, and dots are unstuffed (RFC 5321 4.5.2)") {
  CHECK(read(rejecting, "a\r\n.\r\n") == good("a\r\n"));
  CHECK(read(rejecting, ".\r\n") == good(""));
  CHECK(read(rejecting, "\r\n.\r\n") == good("\r\n"));
  CHECK(read(rejecting, "..\r\n.a\r\n...b\r\nc.\r\n.\r\n") == good(".\r\na\r\n..b\r\nc.\r\n"));
  CHECK(read(rejecting, "a\r\n.\r\nMAIL FROM:<>\r\n") == good("a\r\n", "MAIL FROM:<>\r\n"));
  CHECK(read(rejecting, "a.\r\n.b\r\n.\r\n") == good("a.\r\nb\r\n"));
}

TEST_CASE("without its end a message is not over") {
  for (const auto* text : {"a", "a\r", "a\r\n", "a\r\n.", "a\r\n.\r", ".", ".\r"}) {
    INFO(text);
    const auto outcome = read(rejecting, text);
    CHECK_FALSE(outcome.at_end);
    CHECK_FALSE(outcome.fault);
  }
}

TEST_CASE("long runs come out in one piece that points into the input") {
  BodyReader reader(rejecting);
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += std::string(76, 'x') + "\r\n";
  std::string_view input = bytes;
  const auto piece = reader.read(input);
  CHECK(piece.data() == bytes.data());
  CHECK(piece.size() == bytes.size());
  CHECK(reader.octets() == bytes.size());
}

TEST_CASE("lone CR, LF and NUL are refused, and the message is read to its true end") {
  const std::string left = "QUIT\r\n";
  for (const std::string middle : {"\n", "\r", "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\n.\r", "\r.\n", "\r.\r\n",
                                   "\r\r\n", "\n\r\n", "\r\n\r", "\r\n.\r\r\n", "\r\n\n", "\r\n.\r.\r\n"}) {
    INFO(middle);
    CHECK(read(rejecting, "a" + middle + "MAIL FROM:<b@c.example>\r\n.\r\n" + left) == bad(Fault::Smuggling, left));
  }
  CHECK(read(rejecting, std::string("a\0b\r\n.\r\n", 8)) == bad(Fault::Smuggling));
  CHECK(read(rejecting, std::string("a\r\n\0.\r\nb\r\n.\r\n", 13)) == bad(Fault::Smuggling));
  CHECK(read(rejecting, "\n.\r\n.\r\n") == bad(Fault::Smuggling));
  CHECK(read(rejecting, ".\nb\r\n.\r\n") == bad(Fault::Smuggling));
}

TEST_CASE("behind a fault the end of data may follow at once") {
  CHECK(read(rejecting, "a\rb\r\n.\r\n") == bad(Fault::Smuggling));
  CHECK(read(rejecting, "a\r\r\n.\r\n") == bad(Fault::Smuggling));
  CHECK(read(rejecting, "a\r\n.\r\r\n.\r\n") == bad(Fault::Smuggling));
  CHECK(read(rejecting, "a\n\r\n.\r\nleft") == bad(Fault::Smuggling, "left"));
}

TEST_CASE("normalizing makes lines of lone LFs and spaces of lone CRs") {
  CHECK(read(normalizing, "a\nb\n\nc\r\n.\r\n") == good("a\r\nb\r\n\r\nc\r\n"));
  CHECK(read(normalizing, "a\rb\r\rc\r\n.\r\n") == good("a b  c\r\n"));
  CHECK(read(normalizing, "a\r\r\n.\r\n") == good("a \r\n"));
  CHECK(read(normalizing, "\na\r\n.\r\n") == good("\r\na\r\n"));
  CHECK(read(normalizing, "\ra\r\n.\r\n") == good(" a\r\n"));
}

TEST_CASE("normalizing comes before unstuffing") {
  CHECK(read(normalizing, "a\n.b\n..c\r\n.\r\n") == good("a\r\nb\r\n.c\r\n"));
  CHECK(read(normalizing, "a\r.b\r\n.\r\n") == good("a .b\r\n"));
  CHECK(read(normalizing, "a\n..\n.\r\n.\r\n") == bad(Fault::Smuggling));
  CHECK(read(normalizing, "a\n..\nb\r\n.\r\n") == good("a\r\n.\r\nb\r\n"));
}

TEST_CASE("what looks like an end of data is refused even when normalizing (CVE-2023-51764 and relatives)") {
  for (const std::string end : {"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\n.\r", "\r.\n", "\r.\r\n"}) {
    INFO(end);
    CHECK(read(normalizing, "a" + end + "MAIL FROM:<b@c.example>\r\n.\r\n") == bad(Fault::Smuggling));
  }
  for (const std::string start : {".\n", ".\rx\r\n"}) {
    CHECK(read(normalizing, start + "MAIL FROM:<b@c.example>\r\n.\r\n") == bad(Fault::Smuggling));
  }
  CHECK(read(normalizing, std::string("a\0b\r\n.\r\n", 8)) == bad(Fault::Smuggling));
}

TEST_CASE("a message may be as large as the limit, and no larger") {
  const BodyRules rules{Smuggling::Reject, 10, 0};
  CHECK(read(rules, "12345678\r\n.\r\n") == good("12345678\r\n"));
  CHECK(read(rules, ".12345678\r\n.\r\n") == good("12345678\r\n"));
  CHECK(read(rules, "123456789\r\n.\r\nleft") == bad(Fault::TooLarge, "left"));
}

TEST_CASE("lines may be as long as the limit, and no longer") {
  const BodyRules rules{Smuggling::Normalize, 1000, 10};
  CHECK(read(rules, "12345678\r\n.12345678\r\n.\r\n") == good("12345678\r\n12345678\r\n"));
  CHECK(read(rules, "1234567\r8\r\n.\r\n") == bad(Fault::LineTooLong));
  CHECK(read(rules, "123456789\r\n.\r\n") == bad(Fault::LineTooLong));
}

TEST_CASE("a message that has been received too often goes in a loop (RFC 5321 6.3)") {
  std::string hops;
  for (std::size_t i = 0; i < hops_max; ++i) hops += i % 2 == 0 ? "Received: from a\r\n by b\r\n" : "RECEIVED:x\r\n";
  CHECK(read_in_steps(rejecting, hops + "\r\n.\r\n", 4096).fault == std::nullopt);
  CHECK(read_in_steps(rejecting, hops + "Received:x\r\n\r\n.\r\n", 4096).fault == Fault::TooManyHops);
  CHECK(read_in_steps(rejecting, hops + "Received:x\r\n\r\n.\r\n", 1).fault == Fault::TooManyHops);
  CHECK(read_in_steps(rejecting, hops + "\r\nReceived:x\r\n.\r\n", 1).fault == std::nullopt);
  CHECK(read_in_steps(rejecting, hops + "X-Received:x\r\nReceivedx:\r\n Received:\r\n\r\n.\r\n", 3).fault == std::nullopt);
}

TEST_CASE("of two limits the one that was reached first is told, however the input was cut") {
  const BodyRules rules{Smuggling::Reject, 20, 10};
  CHECK(read(rules, "12345678\r\n12345678\r\n123456789\r\n.\r\n") == bad(Fault::TooLarge));
  CHECK(read(rules, "12345678\r\n123456789012345678\r\n.\r\n") == bad(Fault::LineTooLong));
  CHECK(read(rules, "12345678\r\n123456789\r\n.\r\n") == bad(Fault::LineTooLong));
}

TEST_CASE("in chunks dots are text, and the rule for lone CR, LF and NUL holds across their borders") {
  const auto in_chunks = [](Smuggling smuggling, const std::vector<std::string>& chunks) {
    BodyReader reader({smuggling, 1000, 0, Framing::Chunks});
    Outcome outcome;
    for (const std::string_view chunk : chunks) {
      std::string_view input = chunk;
      for (auto piece = reader.read(input); !piece.empty(); piece = reader.read(input)) outcome.text += piece;
      reader.end_chunk(input);
    }
    outcome.text += reader.finish_chunks();
    outcome.at_end = reader.at_end();
    outcome.fault = reader.fault();
    CHECK((outcome.fault || outcome.text.size() == reader.octets()));
    if (outcome.fault) outcome.text.clear();
    return outcome;
  };
  CHECK(in_chunks(Smuggling::Reject, {}) == good(""));
  CHECK(in_chunks(Smuggling::Reject, {".\r\n..\r\n", "a\r\n.\r\n"}) == good(".\r\n..\r\na\r\n.\r\n"));
  CHECK(in_chunks(Smuggling::Reject, {"a\r", "\nb"}) == good("a\r\nb\r\n"));
  CHECK(in_chunks(Smuggling::Reject, {"a\r", "", "\n"}) == good("a\r\n"));
  CHECK(in_chunks(Smuggling::Reject, {"a\r", "b"}) == bad(Fault::Smuggling));
  CHECK(in_chunks(Smuggling::Reject, {"a\r", "\r\n"}) == bad(Fault::Smuggling));
  CHECK(in_chunks(Smuggling::Reject, {"a", "\nb"}) == bad(Fault::Smuggling));
  CHECK(in_chunks(Smuggling::Reject, {"a\r"}) == bad(Fault::Smuggling));
  CHECK(in_chunks(Smuggling::Normalize, {"a\r", "b\n", "\nc\r", "\r", "\n"}) == good("a b\r\n\r\nc \r\n"));
}

namespace {

constexpr BodyRules binary{Smuggling::Reject, 4000, 10, Framing::BinaryChunks};

/// What comes of a binary message in chunks of `step` octets.
Outcome read_binary(std::string_view bytes, std::size_t step) {
  auto outcome = read_in_steps(binary, bytes, step);
  BodyReader reader(binary);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size()))) {
    auto chunk = bytes.substr(0, step);
    reader.read(chunk);
    CHECK(chunk.empty());
    reader.end_chunk(chunk);
  }
  CHECK(reader.finish_chunks().empty());
  CHECK(reader.at_end());
  if (!reader.fault()) CHECK(reader.octets() == outcome.text.size());
  return outcome;
}

}  // namespace

TEST_CASE("a binary message is passed as it is (RFC 3030 3)") {
  const std::string octets("A: b\r\n\r\n\0\r\r\n.\r\n\n.\n\r.\r\r\n.\r\n long line without end", 46);
  for (const std::size_t step : {1u, 2u, 3u, 100u}) {
    CHECK(read_binary(octets, step) == Outcome{octets, "", false, std::nullopt});
  }
}

TEST_CASE("a binary message has its limits too") {
  std::string hops;
  for (std::size_t i = 0; i < hops_max; ++i) hops += "Received: x\r\n";
  for (const std::size_t step : {1u, 2u, 3u, 100u, 4000u}) {
    CHECK(read_binary(std::string(4000, 'x'), step).fault == std::nullopt);
    CHECK(read_binary(std::string(4001, 'x'), step).fault == Fault::TooLarge);
    CHECK(read_binary(hops + "\r\nReceived: x\r\n", step).fault == std::nullopt);
    CHECK(read_binary(hops + "A: b\r\nrECEIVED: x\r\n", step).fault == Fault::TooManyHops);
    CHECK(read_binary(hops + "Received\r\nX-Received: x\r\n", step).fault == std::nullopt);
  }
}
