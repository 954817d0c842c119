#include "relay/relay.h"

#include <utility>

#include "tests/support/catch.h"
#include "tests/support/relayed_session.h"

using namespace postern;
using namespace postern::relay;

namespace {

RelayOptions late() {
  RelayOptions options;
  options.backend = "mta";
  options.offers = {"PIPELINING", "SIZE", "8BITMIME", "CHUNKING"};
  options.hostname = "mx.example";
  options.policy.message_octets_max = 1000;
  return options;
}

RelayOptions early() {
  RelayOptions options = late();
  options.timing = Timing::Early;
  return options;
}

RelayOptions by_recipient() {
  RelayOptions options = late();
  options.backend.reset();
  return options;
}

smtp::ServerOptions client_options() {
  smtp::ServerOptions options;
  options.hostname = "mx.example";
  options.limits.message_octets_max = 200'000;
  return options;
}

class Pair : public test::RelayedSession {
 public:
  explicit Pair(RelayOptions options) : RelayedSession(std::move(options), client_options()) { start(); }

  /// Connects, greets, and answers the EHLO that is replayed.
  std::string opened() {
    std::string told = connected();
    told += backend("220 mta\r\n");
    return told += backend("250-mta\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
  }
};

const std::string ehlo_answer = "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 CHUNKING\r\n";

/// Late, with a transaction that awaits its text.
void begin_data(Pair& pair) {
  pair.client("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
  pair.opened();
  pair.backend("250 1\r\n250 2\r\n354 go\r\n");
  pair.sent();
}

}  // namespace

TEST_CASE("late: nothing is opened before MAIL, and then the client's EHLO is replayed and its batch kept") {
  Pair pair(late());
  CHECK(pair.client("EHLO client.example\r\n") == ehlo_answer);
  CHECK(pair.client("NOOP\r\nRSET\r\nHELP\r\n") == "250 2.0.0 OK\r\n250 2.0.0 Reset\r\n214 2.0.0 RFC 5321\r\n");
  CHECK(pair.connects.empty());
  CHECK(pair.client("MAIL FROM:<a@b.example> SIZE=9\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n").empty());
  REQUIRE(pair.connects.size() == 1);
  CHECK(pair.connects[0].backend == "mta");
  CHECK(pair.connected().empty());
  CHECK(pair.backend("220 mta ESMTP\r\n").empty());
  CHECK(pair.sent() == "EHLO client.example\r\n");
  CHECK(pair.backend("250-mta\r\n250 PIPELINING\r\n").empty());
  CHECK(pair.sent() == "MAIL FROM:<a@b.example> SIZE=9\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@d.example>\r\nDATA\r\n");
  CHECK(pair.backend("250 2.1.0 ok\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n").starts_with("250 2.1.0 ok\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n"));
  CHECK(pair.backend("250 2.1.5 yes\r\n354 go on\r\n") == "250 2.1.5 yes\r\n354 go on\r\n");
  CHECK(pair.client("Subject: x\r\n\r\n..dot\r\n.\r\n").empty());
  CHECK(pair.sent() == "Subject: x\r\n\r\n..dot\r\n.\r\n");
  CHECK(pair.backend("250 2.0.0 queued as 1\r\n") == "250 2.0.0 queued as 1\r\n");
  // The next transaction goes over the same connection.
  pair.client("MAIL FROM:<>\r\n");
  CHECK(pair.sent() == "MAIL FROM:<>\r\n");
  pair.backend("250 ok\r\n");
  CHECK(pair.client("QUIT\r\n") == "221 2.0.0 Bye\r\n");
  CHECK(pair.last_words == std::vector<std::string>{"QUIT\r\n"});
}

TEST_CASE("what only we may say never passes") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<a@b.example>\r\n");
  pair.opened();
  pair.backend("250 ok\r\n");
  pair.sent();
  for (const auto* line : {"XCLIENT ADDR=127.0.0.1", "xforward ADDR=127.0.0.1", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2", "ETRN x", "TURN",
                           "ATRN x", "BURL imap://x", "EXPN x", "AUTH PLAIN AAAA", "X-ANYTHING"}) {
    INFO(line);
    CHECK(pair.client(std::string(line) + "\r\n") == "502 5.5.1 Command not implemented\r\n");
  }
  CHECK(pair.client("VRFY x\r\n").starts_with("252 "));
  CHECK(pair.client("RCPT TO:<c@d.example> XRCPTFORWARD=x\r\n").starts_with("555 "));
  CHECK(pair.sent().empty());
}

TEST_CASE("early: greeting and EHLO are the backend's") {
  Pair pair(early());
  REQUIRE(pair.connects.size() == 1);
  CHECK(pair.connected().empty());
  CHECK(pair.backend("220 mta.example ESMTP\r\n") == "220 mta.example ESMTP\r\n");
  CHECK(pair.client("EHLO c\r\n").empty());
  CHECK(pair.sent() == "EHLO c\r\n");
  CHECK(pair.backend("250-mta.example hi\r\n250-XCLIENT ADDR\r\n250-STARTTLS\r\n250 SIZE 7\r\n") ==
        "250-mta.example hi\r\n250 SIZE 7\r\n");
}

TEST_CASE("early: a greeting that refuses is the client's") {
  Pair pair(early());
  pair.connected();
  CHECK(pair.backend("554 5.7.1 not you\r\n") == "554 5.7.1 not you\r\n");
  Pair down(early());
  down.lost();
  CHECK(down.no_target_left().starts_with("421 4.3.2 "));
}

TEST_CASE("a fault in the text cuts the backend off, without a dot and without QUIT") {
  for (const auto* text : {"text\r\nbare\nlf\r\n.\r\n", "text\r\nbare\rcr\r\n.\r\n"}) {
    Pair pair(late());
    begin_data(pair);
    CHECK(pair.client(text).starts_with("554 5.6.0 "));
    CHECK(pair.sent().find(".\r\n") == std::string::npos);
    CHECK(pair.last_words == std::vector<std::string>{""});
    // The next MAIL opens a new connection.
    CHECK(pair.client("MAIL FROM:<>\r\n").empty());
    CHECK(pair.connects.size() == 2);
    CHECK(pair.opened() == "");
    CHECK(pair.backend("250 ok\r\n") == "250 ok\r\n");
  }
}

TEST_CASE("a message that is too large cuts it off, too") {
  Pair pair(late());
  begin_data(pair);
  CHECK(pair.client(std::string(150'000, 'x') + "\r\n").empty());
  CHECK(pair.client(std::string(150'000, 'x') + "\r\n.\r\n").starts_with("552 5.3.4 "));
  CHECK(pair.last_words == std::vector<std::string>{""});
}

TEST_CASE("a client that goes away in the text") {
  Pair pair(late());
  begin_data(pair);
  pair.client("half a line");
  pair.client_gone();
  CHECK(pair.last_words == std::vector<std::string>{""});
  CHECK(pair.sent().find(".\r\n") == std::string::npos);
}

TEST_CASE("BDAT is cut into chunks of 64 KiB, and answered once") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n");
  pair.opened();
  pair.backend("250 1\r\n250 2\r\n");
  pair.sent();
  const std::string line(98, 'x');
  std::string text;
  while (text.size() < 150'000) text += line + "\r\n";
  CHECK(pair.client("BDAT " + std::to_string(text.size()) + "\r\n" + text).empty());
  const std::string sent = pair.sent();
  CHECK(sent.starts_with("BDAT 65536\r\n"));
  CHECK(sent.find("BDAT 18928\r\n") != std::string::npos);
  CHECK(pair.backend("250 a\r\n250 b\r\n").empty());
  CHECK(pair.backend("250 c\r\n") == "250 c\r\n");
  CHECK(pair.client("BDAT 0 LAST\r\n").empty());
  CHECK(pair.sent() == "BDAT 0 LAST\r\n");
  CHECK(pair.backend("250 queued\r\n") == "250 queued\r\n");
}

TEST_CASE("a refused piece of a chunk: nothing more of the message reaches the backend") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\n");
  pair.opened();
  pair.backend("250 1\r\n250 2\r\n");
  pair.client("BDAT 200000\r\n");
  pair.client(std::string(100'000, 'x'));
  pair.sent();
  pair.backend("452 4.3.1 full\r\n");
  CHECK(pair.last_words == std::vector<std::string>{""});
  CHECK(pair.client(std::string(100'000, 'x')) == "452 4.3.1 full\r\n");
  CHECK(pair.sent().empty());
  CHECK(pair.client("BDAT 3 LAST\r\nabc").starts_with("503 "));
  CHECK(pair.client("RSET\r\n") == "250 2.0.0 Reset\r\n");
}

TEST_CASE("a backend that closes: its own words, or 451") {
  Pair lost(late());
  begin_data(lost);
  lost.client("text\r\n");
  CHECK(lost.lost().empty());
  CHECK(lost.client(".\r\n").starts_with("451 4.4.2 "));
  CHECK(lost.sent().find(".\r\n") == std::string::npos);

  Pair told(late());
  told.client("EHLO c\r\nMAIL FROM:<>\r\n");
  told.opened();
  told.backend("250 ok\r\n");
  told.backend("421 4.3.2 going down\r\n");
  CHECK(told.client("RCPT TO:<c@d.example>\r\n") == "421 4.3.2 going down\r\n");
}

TEST_CASE("targets are tried in turn until one has greeted; a refusal for good is an answer") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<>\r\n");
  pair.lost();
  pair.connected();
  pair.backend("421 4.3.2 busy\r\n");
  REQUIRE(pair.connects.size() == 3);
  CHECK(pair.connects[2].attempt == 2);
  CHECK(pair.no_target_left() == "421 4.3.2 busy\r\n");

  Pair refused(late());
  refused.client("EHLO c\r\nMAIL FROM:<>\r\n");
  refused.connected();
  CHECK(refused.backend("554 5.7.1 not you\r\n") == "554 5.7.1 not you\r\n");
  CHECK(refused.connects.size() == 1);
}

TEST_CASE("the first recipient decides, and others of another backend come again") {
  Pair pair(by_recipient());
  pair.routes.insert({{"a.example", Route("one")}, {"b.example", Route("two")}});
  pair.client("EHLO c\r\n");
  CHECK(pair.client("MAIL FROM:<x@y.example>\r\n") == "250 2.1.0 Sender OK\r\n");
  CHECK(pair.client("RCPT TO:<u@elsewhere.example>\r\n") == "550 5.7.1 not ours\r\n");
  CHECK(pair.connects.empty());
  CHECK(pair.client("DATA\r\n").starts_with("554 "));
  CHECK(pair.client("RCPT TO:<u@a.example>\r\nRCPT TO:<u@b.example>\r\n").empty());
  REQUIRE(pair.connects.size() == 1);
  CHECK(pair.connects[0].backend == "one");
  pair.opened();
  CHECK(pair.sent() == "EHLO c\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<u@a.example>\r\n");
  CHECK(pair.backend("250 1\r\n250 2.1.5 fine\r\n") ==
        "250 2.1.5 fine\r\n451 4.5.3 Send this recipient in another transaction\r\n");
  pair.client("RSET\r\n");
  CHECK(pair.backend("250 reset\r\n") == "250 reset\r\n");
  pair.client("MAIL FROM:<>\r\nRCPT TO:<u@b.example>\r\n");
  CHECK(pair.last_words == std::vector<std::string>{"QUIT\r\n"});
  REQUIRE(pair.connects.size() == 2);
  CHECK(pair.connects[1].backend == "two");
}

TEST_CASE("a MAIL that is refused behind our answer is the answer to each recipient") {
  Pair pair(by_recipient());
  pair.routes.insert({{"a.example", Route("one")}});
  pair.client("EHLO c\r\nMAIL FROM:<x@y.example>\r\nRCPT TO:<u@a.example>\r\nRCPT TO:<v@a.example>\r\n");
  pair.opened();
  CHECK(pair.backend("550 5.7.1 no such sender\r\n503 first MAIL\r\n503 first MAIL\r\n") ==
        "550 5.7.1 no such sender\r\n550 5.7.1 no such sender\r\n");
  CHECK(pair.client("RCPT TO:<w@a.example>\r\n") == "550 5.7.1 no such sender\r\n");
}

TEST_CASE("a backend that is lost between RCPT and DATA makes nobody bounce what it had taken") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<u@a.example>\r\n");
  pair.opened();
  CHECK(pair.backend("250 ok\r\n250 ok\r\n") == "250 ok\r\n250 ok\r\n");
  CHECK(pair.lost().empty());
  CHECK(pair.client("DATA\r\n").starts_with("451 4.4.2 "));
  CHECK(pair.client("RCPT TO:<v@a.example>\r\n").starts_with("451 4.4.2 "));
}

TEST_CASE("RSET and NOOP are answered although the backend goes away before them") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<>\r\n");
  pair.opened();
  pair.backend("250 ok\r\n");
  pair.client("RSET\r\nNOOP\r\n");
  CHECK(pair.lost() == "250 2.0.0 Reset\r\n250 2.0.0 OK\r\n");
}

TEST_CASE("a whole batch that the backend refuses leaves the session usable") {
  Pair pair(late());
  pair.client("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n");
  pair.opened();
  CHECK(pair.backend("550 no\r\n503 no\r\n503 no\r\n") == "550 no\r\n503 no\r\n503 no\r\n");
  pair.client("MAIL FROM:<>\r\n");
  CHECK(pair.backend("250 ok\r\n") == "250 ok\r\n");
}

TEST_CASE("STARTTLS: the connection of a client in clear is given up, and opened anew") {
  Pair pair(early());
  pair.connected();
  pair.backend("220 mta\r\n");
  pair.client("EHLO c\r\n");
  pair.backend("250 mta\r\n");
  pair.relay().tls_started(early(), Relay::Link::Renew);
  pair.client("");
  CHECK(pair.last_words == std::vector<std::string>{"QUIT\r\n"});
  CHECK(pair.connects.size() == 2);
  pair.client("EHLO c\r\n");  // before the new connection stands
  pair.connected();
  pair.backend("220 mta\r\n");
  CHECK(pair.backend("250 mta under TLS\r\n") == "250 mta under TLS\r\n");
}
