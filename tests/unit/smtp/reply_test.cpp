#include "smtp/reply.h"

#include "smtp/replies.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::smtp;

namespace {

Reply only_reply(std::string_view bytes) {
  ReplyParser parser;
  parser.receive(bytes);
  const auto reply = parser.next();
  REQUIRE(reply.has_value());
  REQUIRE(reply->has_value());
  CHECK(parser.pending() == 0);
  return **reply;
}

Error only_error(std::string_view bytes) {
  ReplyParser parser;
  parser.receive(bytes);
  const auto reply = parser.next();
  REQUIRE_FALSE(reply.has_value());
  return reply.error();
}

}  // namespace

TEST_CASE("a reply is rendered with its enhanced code on every line") {
  CHECK(render({250, "2.1.0", "Sender OK"}) == "250 2.1.0 Sender OK\r\n");
  CHECK(render({550, "5.1.1", "one\ntwo"}) == "550-5.1.1 one\r\n550 5.1.1 two\r\n");
  CHECK(render({354, "", "go on"}) == "354 go on\r\n");
  CHECK(render({250, "2.0.0", ""}) == "250 2.0.0\r\n");
  CHECK(render({250, "", ""}) == "250 \r\n");
}

TEST_CASE("a rendered reply cannot be split by its text") {
  CHECK(render({550, "5.1.1", "a\r\n250 b"}) == "550-5.1.1 a?\r\n550 5.1.1 250 b\r\n");
  CHECK(render({550, "", std::string("a\0\x1b\x7f\xff", 5)}) == "550 a????\r\n");
}

TEST_CASE("a rendered line has 512 octets at most (RFC 5321 4.5.3.1.5)") {
  const auto rendered = render({250, "2.0.0", std::string(600, 'x') + "\nshort"});
  CHECK(rendered.find("\r\n") == 510);
  CHECK(rendered.ends_with("\r\n250 2.0.0 short\r\n"));
}

TEST_CASE("named replies convert and compare") {
  const Reply reply = replies::sender_first;
  CHECK(reply.code == 503);
  CHECK(reply == replies::sender_first);
  CHECK_FALSE(reply == replies::recipient_first);
}

TEST_CASE("replies are parsed") {
  CHECK(only_reply("250 2.1.5 fine\r\n") == Reply{250, "2.1.5", "fine"});
  CHECK(only_reply("250\r\n") == Reply{250, "", ""});
  CHECK(only_reply("250 \r\n") == Reply{250, "", ""});
  CHECK(only_reply("250 2.0.0\r\n") == Reply{250, "2.0.0", ""});
  CHECK(only_reply("220 host ESMTP\n") == Reply{220, "", "host ESMTP"});
  CHECK(only_reply("550-5.1.1 one\r\n550 5.1.1 two\r\n") == Reply{550, "5.1.1", "one\ntwo"});
  CHECK(only_reply("250-host\r\n250-SIZE 10\r\n250 DSN\r\n") == Reply{250, "", "host\nSIZE 10\nDSN"});
}

TEST_CASE("what only resembles an enhanced code stays in the text") {
  CHECK(only_reply("250 4.1.1 other class\r\n") == Reply{250, "", "4.1.1 other class"});
  CHECK(only_reply("550 5.1 short\r\n") == Reply{550, "", "5.1 short"});
  CHECK(only_reply("550 5.1.1000 long\r\n") == Reply{550, "", "5.1.1000 long"});
  CHECK(only_reply("550 5.1.1x\r\n") == Reply{550, "", "5.1.1x"});
  CHECK(only_reply("550-5.1.1 one\r\n550 two\r\n") == Reply{550, "5.1.1", "one\ntwo"});
}

TEST_CASE("a reply in pieces is the same reply") {
  ReplyParser parser;
  const std::string_view bytes = "550-5.1.1 one\r\n550 5.1.1 two\r\n250 next\r\n";
  std::vector<Reply> replies;
  for (const char c : bytes) {
    parser.receive(std::string_view(&c, 1));
    const auto reply = parser.next();
    REQUIRE(reply.has_value());
    if (reply->has_value()) replies.push_back(**reply);
  }
  CHECK(replies == std::vector<Reply>{{550, "5.1.1", "one\ntwo"}, {250, "", "next"}});
}

TEST_CASE("bytes behind a reply are seen as pending") {
  ReplyParser parser;
  parser.receive("220 go\r\n250 injected\r\n");
  REQUIRE(parser.next()->has_value());
  CHECK(parser.pending() == 14);
}

TEST_CASE("what is no reply is an error that names it") {
  CHECK(only_error("hello\r\n").text == "not an SMTP reply: \"hello\"");
  CHECK(only_error("99 no\r\n").text == "not an SMTP reply: \"99 no\"");
  CHECK(only_error("150 no\r\n").text == "not an SMTP reply: \"150 no\"");
  CHECK(only_error("600 no\r\n").text == "not an SMTP reply: \"600 no\"");
  CHECK(only_error("250_no\r\n").text == "not an SMTP reply: \"250_no\"");
  CHECK(only_error("\r\n").text == "not an SMTP reply: \"\"");
  CHECK(only_error("250-one\r\n251 two\r\n").text == "a reply that begins with 250 goes on with \"251 two\"");
}

TEST_CASE("replies are bounded") {
  CHECK_FALSE(only_error("250 " + std::string(5000, 'x')).text.empty());
  CHECK_FALSE(only_error("250 " + std::string(5000, 'x') + "\r\n").text.empty());
  std::string many;
  for (int i = 0; i < 129; ++i) many += "250-x\r\n";
  CHECK(only_error(many).text == "a reply of more than 128 lines");
}

TEST_CASE("a peer's control characters do not survive") {
  CHECK(only_reply("250 a\x1b[2Jb\rc\r\n").text == "a?[2Jb?c");
}
