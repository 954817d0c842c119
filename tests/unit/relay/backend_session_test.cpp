#include "relay/backend_session.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::relay;

namespace {

const Instant start{};

proxy::ClientIdentity client() {
  proxy::ClientIdentity identity;
  identity.address = IpAddress::parse("192.0.2.1");
  identity.port = 40000;
  return identity;
}

BackendOptions with_xclient() {
  BackendOptions options;
  options.xclient = client();
  options.hostname = "mx.example";
  return options;
}

bool is_open(BackendSession& session) {
  const auto event = session.next();
  return event && std::holds_alternative<Greeted>(*event);
}

const BackendFailed* failure(const std::optional<BackendEvent>& event) {
  return event ? std::get_if<BackendFailed>(&*event) : nullptr;
}

Asked asked(std::uint64_t number, smtp::Verb verb = smtp::Verb::Unknown) {
  return {Asked::For::Client, number, verb, Asked::Limit::Command};
}

}  // namespace

TEST_CASE("a PROXY header goes first, and nothing else before the greeting") {
  BackendSession session({"PROXY UNKNOWN\r\n", std::nullopt, "", {}}, start);
  CHECK(session.take_output() == "PROXY UNKNOWN\r\n");
  session.receive("220 mta\r\n", start);
  CHECK(is_open(session));
  CHECK(session.take_output().empty());
}

TEST_CASE("XCLIENT is said with the attributes that were offered, and greeted anew") {
  BackendSession session(with_xclient(), start);
  session.receive("220 mta\r\n", start);
  CHECK(session.take_output() == "EHLO mx.example\r\n");
  session.receive("250-mta\r\n250 XCLIENT ADDR PORT\r\n", start);
  CHECK(session.take_output() == "XCLIENT ADDR=192.0.2.1 PORT=40000\r\n");
  CHECK_FALSE(session.next());
  session.receive("220 mta again\r\n", start);
  CHECK(is_open(session));
}

TEST_CASE("without XCLIENT nothing goes on") {
  for (const auto* answer : {"250-mta\r\n250 PIPELINING\r\n", "250-mta\r\n250 XCLIENT NAME\r\n", "250-mta\r\n250 XCLIENT\r\n",
                             "550 go away\r\n", "250-mta\r\n250 XCLIENT ADDR\r\n"}) {
    BackendSession session(with_xclient(), start);
    session.receive("220 mta\r\n", start);
    session.receive(answer, start);
    session.receive("550 insufficient authorization\r\n", start);
    const auto event = session.next();
    INFO(answer);
    REQUIRE(failure(event) != nullptr);
    CHECK_FALSE(failure(event)->reply);  // it is about us: no words for the client
    CHECK(session.take_output().empty());
  }
}

TEST_CASE("commands go one by one until PIPELINING was offered") {
  BackendSession session({}, start);
  session.receive("220 mta\r\n", start);
  CHECK(is_open(session));
  session.send("EHLO c", asked(1, smtp::Verb::Ehlo), start);
  session.send("NOOP", asked(2), start);
  CHECK(session.take_output() == "EHLO c\r\n");
  session.receive("250 mta\r\n", start);
  CHECK(session.take_output() == "NOOP\r\n");
  session.send("EHLO c", asked(3, smtp::Verb::Ehlo), start);
  session.receive("250 ok\r\n250-mta\r\n250 PIPELINING\r\n", start);
  session.take_output();
  session.send("RSET", asked(4), start);
  session.send("BDAT 2", asked(5), start, "ab");
  session.send("NOOP", asked(6), start);
  CHECK(session.take_output() == "RSET\r\nBDAT 2\r\nabNOOP\r\n");
  CHECK(session.take_unanswered().size() == 3);
}

TEST_CASE("what a backend says unasked is its end") {
  BackendSession session({}, start);
  session.receive("220 mta\r\n", start);
  CHECK(is_open(session));
  session.receive("421 4.3.2 shutting down\r\n", start);
  const auto event = session.next();
  REQUIRE(failure(event) != nullptr);
  CHECK(failure(event)->reply->code == 421);
}

TEST_CASE("every wait ends") {
  BackendSession session({}, start);
  REQUIRE(session.deadline());
  session.receive("220 mta\r\n", start);
  CHECK(is_open(session));
  CHECK_FALSE(session.deadline());
  session.send("NOOP", asked(1), start);
  REQUIRE(session.deadline());
  session.expire(*session.deadline());
  CHECK(failure(session.next()) != nullptr);
}
