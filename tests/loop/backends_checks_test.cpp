// Questions about recipients.
#include "daemon/session/backends.h"
#include "smtp/replies.h"
#include "tests/loop/backends_fixture.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace postern::session::test;
using namespace std::chrono_literals;

// --- recipient checks ---

TEST_CASE("a recipient that was checked is remembered") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["RCPT"] = {says("250 2.1.5 ok\r\n"), says("550 5.1.1 unknown\r\n")};
  const auto routes = table({backend("store", {server.target()})});
  worker.backends.configure(routes);
  for (int i = 0; i < 2; ++i) {
    const auto bob = worker.check(routes, to("bob"));
    CHECK(bob.reply == smtp::Reply{250, "2.1.5", "ok"});
    CHECK(bob.to == to("bob"));
    CHECK(bob.backend == "store");
    CHECK(worker.check(routes, to("eve")).reply == smtp::Reply{550, "5.1.1", "unknown"});
  }
  CHECK(worker.check(routes, to("bob", "EXAMPLE.com")).reply.code == 250);
  CHECK(server.count("RCPT") == 2);
  CHECK(server.count("RSET") == 2);
  CHECK(std::find(server.commands.begin(), server.commands.end(), "MAIL FROM:<>") != server.commands.end());
}

TEST_CASE("what may be otherwise in a second is asked again") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["RCPT"] = {says("452 4.2.2 over quota\r\n"), says("250 ok\r\n")};
  const auto routes = table({backend("store", {server.target()})});
  worker.backends.configure(routes);
  CHECK(worker.check(routes, to("bob")).reply.code == 452);
  CHECK(worker.check(routes, to("bob")).reply.code == 250);
}

TEST_CASE("checks of one recipient at the same time are one") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  const auto routes = table({backend("store", {server.target()})});
  worker.backends.configure(routes);
  const auto first = worker.start_check(routes, to("bob"));
  const auto second = worker.start_check(routes, to("bob"));
  const auto other = worker.start_check(routes, to("carol"));
  REQUIRE(worker.turn_until([&] { return first->has_value() && second->has_value() && other->has_value(); }));
  CHECK((*second)->reply.code == 250);
  CHECK(server.count("RCPT") == 2);
}

TEST_CASE("trusted recipients are not asked about") {
  Worker worker;
  auto settings = backend("store", {dead_target()});
  settings.recipients = delivery::RecipientCheck::Trust;
  const auto routes = table({settings});
  worker.backends.configure(routes);
  const auto checked = worker.start_check(routes, to("bob"));
  REQUIRE(checked->has_value());
  CHECK((*checked)->reply == smtp::replies::recipient_ok);
}

TEST_CASE("postmaster@ goes to the configured address where the backend knows none") {
  Worker worker;
  ScriptedBackend store(worker.loop);
  ScriptedBackend other(worker.loop);
  const auto routes = table({backend("store", {store.target()}), backend("other", {other.target()})},
                            smtp::Mailbox{"root", "other.example"});
  worker.backends.configure(routes);
  SECTION("it is taken there") {
    store.script["RCPT"] = {says("550 5.1.1 unknown\r\n")};
    const auto checked = worker.check(routes, to("postmaster"));
    CHECK(checked.reply.code == 250);
    CHECK(checked.to == to("root", "other.example"));
    CHECK(checked.backend == "other");
  }
  SECTION("a failure there is a failure") {
    store.script["RCPT"] = {says("550 5.1.1 unknown\r\n")};
    other.script["RCPT"] = {says("451 4.3.0 later\r\n")};
    CHECK(worker.check(routes, to("abuse")).reply.code == 451);
  }
  SECTION("refused there too, the first answer stands") {
    store.script["RCPT"] = {says("550 5.1.1 unknown here\r\n")};
    other.script["RCPT"] = {says("550 5.1.1 unknown there\r\n")};
    const auto checked = worker.check(routes, to("abuse"));
    CHECK(checked.reply.text == "unknown here");
    CHECK(checked.to == to("abuse"));
  }
  SECTION("a backend that knows one is not overruled") {
    CHECK(worker.check(routes, to("postmaster")).backend == "store");
    CHECK(other.count("RCPT") == 0);
  }
}
