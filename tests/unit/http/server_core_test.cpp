#include "http/server_core.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::http;

namespace {

const Instant start{std::chrono::hours(1)};
const WallTime noon{std::chrono::seconds(784'111'777)};  // Sun, 06 Nov 1994 08:49:37 GMT

enum class Cut { None, EachByte };

/// Answers every request with its method, host and target, and returns what was sent.
struct Conversation {
  ServerCore core{Limits{}, start};
  std::string sent;

  void say(std::string_view bytes, Cut cut) {
    const std::size_t step = cut == Cut::None ? bytes.size() : 1;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      core.receive(bytes.substr(at, step), start);
      while (const auto request = core.next()) {
        Response response;
        response.body = request->method + " " + request->host + " " + request->target;
        core.answer(response, start, noon);
      }
      sent += core.take_output();
    }
  }
};

std::string converse(std::string_view bytes, Cut cut = Cut::None) {
  Conversation conversation;
  conversation.say(bytes, cut);
  return conversation.sent;
}

}  // namespace

TEST_CASE("requests on a kept connection, whole and byte by byte", "[http]") {
  const std::string two = "GET /a HTTP/1.1\r\nHost: one.example\r\n\r\nGET /b HTTP/1.1\r\nhost:two.example:80\r\nX: y\r\n\r\n";
  const std::string expected =
      "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nContent-Length: 18\r\n\r\n"
      "GET one.example /a"
      "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\n"
      "GET two.example:80 /b";
  CHECK(converse(two) == expected);
  CHECK(converse(two, Cut::EachByte) == expected);
}

TEST_CASE("HEAD has no body, and HTTP/1.0 ends the connection", "[http]") {
  CHECK(converse("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("Content-Length: 8\r\n\r\n"));
  Conversation old;
  old.say("GET / HTTP/1.0\r\n\r\n", Cut::None);
  CHECK(old.sent.find("Connection: close\r\n") != std::string::npos);
  CHECK(old.core.finished());
}

TEST_CASE("a small body is thrown away, a large one refused", "[http]") {
  const std::string small = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const Cut cut : {Cut::None, Cut::EachByte}) {
    const auto sent = converse(small, cut);
    CHECK(sent.find("POST a /") != std::string::npos);
    CHECK(sent.find("GET a /") != std::string::npos);
  }
  CHECK(converse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n" + std::string(9999, 'x'), Cut::EachByte)
            .starts_with("HTTP/1.1 413 "));
}

TEST_CASE("what is no request is refused, and ends the connection", "[http]") {
  for (const std::string_view bytes : {
           std::string_view("EHLO a\r\n"), std::string_view("\x16\x03\x01\x02\x00\x01", 6),
           std::string_view("GET / HTTP/1.1\r\n\r\n"),                                      // no Host
           std::string_view("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),                // two
           std::string_view("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
           std::string_view("GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
       }) {
    Conversation conversation;
    conversation.say(bytes, Cut::EachByte);
    CHECK(conversation.sent.starts_with("HTTP/1.1 400 "));
    CHECK(conversation.core.finished());
  }
}

TEST_CASE("a head without end is refused at its limit", "[http]") {
  Conversation conversation;
  conversation.say("GET / HTTP/1.1\r\nHost: a\r\n", Cut::None);
  for (int i = 0; i < 3000 && !conversation.core.finished(); ++i) conversation.say("X: yyyyyyyy\r\n", Cut::None);
  CHECK(conversation.sent.starts_with("HTTP/1.1 431 "));
  CHECK(conversation.core.finished());
  CHECK_FALSE(conversation.core.wants_input());
}

TEST_CASE("an open request holds back the next one", "[http]") {
  ServerCore core(Limits{}, start);
  core.receive("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", start);
  REQUIRE(core.next());
  CHECK_FALSE(core.next());
  CHECK_FALSE(core.wants_input());
  CHECK_FALSE(core.deadline());  // while we owe an answer the client's clock does not run
  core.answer(not_found(), start, noon);
  const auto second = core.next();
  REQUIRE(second);
  CHECK(second->target == "/2");
}

TEST_CASE("time limits", "[http]") {
  const Limits limits;
  ServerCore silent(limits, start);
  CHECK(silent.deadline() == start + limits.request_within);
  silent.expire(start + limits.request_within);
  CHECK(silent.finished());
  CHECK(silent.take_output().empty());

  ServerCore slow(limits, start);
  slow.receive("GET / HT", start + std::chrono::seconds(1));
  CHECK_FALSE(slow.next());
  CHECK(slow.deadline() == start + std::chrono::seconds(1) + limits.request_within);
  slow.expire(start + std::chrono::seconds(1) + limits.request_within);
  CHECK(slow.take_output().starts_with("HTTP/1.1 408 "));
  CHECK(slow.finished());

  ServerCore kept(limits, start);
  kept.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n", start);
  REQUIRE(kept.next());
  kept.answer(not_found(), start, noon);
  CHECK(kept.deadline() == start + limits.idle_max);
}

TEST_CASE("a connection ends after its share of requests", "[http]") {
  Limits limits;
  limits.requests_max = 2;
  ServerCore core(limits, start);
  for (int i = 0; i < 2; ++i) {
    core.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n", start);
    REQUIRE(core.next());
    core.answer(not_found(), start, noon);
  }
  CHECK(core.finished());
}
