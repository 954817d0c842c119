#include "http/response_reader.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::http;

namespace {

/// The response, read in pieces of `octets`; the connection ends after it.
Result<ReceivedResponse> read(std::string_view text, std::size_t octets, std::size_t octets_max = 1000) {
  ResponseReader reader(octets_max);
  for (std::size_t at = 0; at < text.size(); at += octets) {
    auto made = reader.receive(text.substr(at, octets));
    if (!made) return fail_with(made.error());
    if (*made) return std::move(**made);
  }
  auto made = reader.end();
  if (!made) return fail_with(made.error());
  return std::move(**made);
}

}  // namespace

TEST_CASE("a response, however it is cut", "[response_reader]") {
  constexpr std::string_view with_length =
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\nContent-Type: text/plain\r\n\r\nhello";
  constexpr std::string_view chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
  constexpr std::string_view to_the_end = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello";
  for (const auto text : {with_length, chunked, to_the_end}) {
    for (const std::size_t octets : {std::size_t{1}, std::size_t{7}, text.size()}) {
      const auto response = read(text, octets);
      REQUIRE(response);
      CHECK(response->status == 200);
      CHECK(response->content_type == "text/plain");
      CHECK(response->body == "hello");
    }
  }
}

TEST_CASE("what is cut off, too long or no HTTP is an error", "[response_reader]") {
  CHECK_FALSE(read("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 100));
  CHECK_FALSE(read("", 1));
  CHECK_FALSE(read("220 mx.test ESMTP\r\n", 100));
  const auto long_one = read("HTTP/1.0 200 OK\r\n\r\n" + std::string(2000, 'a'), 100);
  REQUIRE_FALSE(long_one);
  CHECK(long_one.error().text == "the answer is longer than 1000 octets");
}
