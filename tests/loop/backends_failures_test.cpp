// Backends that fail at each step, and the limits of time and number that keep failures small.
#include "daemon/session/backends.h"
#include "smtp/replies.h"
#include "tests/loop/backends_fixture.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace postern::session::test;
using namespace std::chrono_literals;

// --- backends that fail ---

TEST_CASE("a dead backend is 451 4.4.1, at once while it is left in peace") {
  Worker worker;
  const auto target = dead_target();
  const auto routes = table({backend("store", {target})});
  worker.backends.configure(routes);
  CHECK(worker.deliver_and_finish({to("bob"), to("carol")}).codes() == std::vector{451, 451});
  const auto failures = worker.backends.status().front().failures;
  CHECK(failures >= 1);
  CHECK_FALSE(worker.backends.status().front().last_failure.empty());
  CHECK(worker.notes.has("backend store: " + target));
  CHECK(worker.deliver_and_finish({to("bob")}).reply() == smtp::replies::backend_unreachable);
  CHECK(worker.check(routes, to("bob")).reply == smtp::replies::backend_unreachable);
  CHECK(worker.backends.status().front().failures == failures);
}

TEST_CASE("when a target cannot be used, the next one is") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  auto settings = backend("store", {first.target(), second.target()});
  // More than once: the first greeting may be on a connection of its own.
  const auto misbehave = [&](const std::string& verb, const Does& does) { first.script[verb] = {does, does, does}; };
  SECTION("it does not listen") { first.stop_listening(); }
  SECTION("it greets with 421") { misbehave("connect", says("421 busy\r\n")); }
  SECTION("it closes") { misbehave("connect", closes()); }
  SECTION("it resets") { misbehave("connect", resets()); }
  SECTION("it speaks HTTP") { misbehave("connect", says("HTTP/1.1 400 Bad Request\r\n")); }
  SECTION("it keeps silent") {
    misbehave("connect", keeps_silent());
    settings.timeouts.connect = short_limit;
  }
  SECTION("it does not like our LHLO") { misbehave("LHLO", says("500 what?\r\n")); }
  SECTION("it keeps silent after LHLO") {
    misbehave("LHLO", keeps_silent());
    settings.timeouts.command = short_limit;
  }
  worker.backends.configure(table({settings}));
  const auto outcome = worker.deliver_and_finish({to("bob")});
  CHECK(outcome.codes() == std::vector{250});
  CHECK(outcome.delivered->target == "store " + second.target());
  CHECK(second.messages.size() == 1);
  CHECK(worker.backends.status().front().failures >= 1);
}

TEST_CASE("a backend that fails before the message was begun: the next target takes it") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  auto settings = backend("store", {first.target(), second.target()});
  SECTION("closes at MAIL") { first.script["MAIL"] = {closes(), closes()}; }
  SECTION("421 at RCPT") { first.script["RCPT"] = {closes("421 4.3.2 going down\r\n"), closes("421 4.3.2 down\r\n")}; }
  SECTION("resets at RCPT") { first.script["RCPT"] = {resets(), resets()}; }
  SECTION("closes at DATA") { first.script["DATA"] = {closes()}; }
  SECTION("garbles at DATA") { first.script["DATA"] = {says("what?\r\n")}; }
  SECTION("keeps silent at DATA") {
    first.script["DATA"] = {keeps_silent()};
    settings.timeouts.command = short_limit;
  }
  worker.backends.configure(table({settings}));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK(first.messages.empty());
  CHECK(second.messages.size() == 1);
  CHECK(worker.notes.has("backend store " + first.target() + ": failed at "));
}

TEST_CASE("with no other target it is 451 4.4.2") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["RCPT"] = {closes(), closes()};
  worker.backends.configure(table({backend("store", {server.target()})}));
  CHECK(worker.deliver_and_finish({to("bob")}).reply() == smtp::replies::backend_lost);
}

TEST_CASE("after the final dot there is no second try, and what was said is kept") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  auto settings = backend("store", {first.target(), second.target()});
  std::vector<int> expected{451, 451};
  SECTION("closes") { first.script["."] = {closes()}; }
  SECTION("resets") { first.script["."] = {resets()}; }
  SECTION("garbles") { first.script["."] = {says("\x01\x02\r\n")}; }
  SECTION("answers 354") { first.script["."] = {says("354 again\r\n")}; }
  SECTION("answers for one recipient and dies") {
    first.script["."] = {closes("250 2.0.0 saved\r\n")};
    expected = {250, 451};
  }
  SECTION("refuses one recipient and garbles") {
    first.script["."] = {says("552 5.2.2 full\r\n25O 2.0.0 saved\r\n")};
    expected = {552, 451};
  }
  SECTION("answers too few lines") {
    first.script["."] = {says("250 2.0.0 saved\r\n")};
    settings.timeouts.after_dot = short_limit;
    expected = {250, 451};
  }
  SECTION("421 for the second recipient") {
    first.script["."] = {closes("250 2.0.0 saved\r\n421 4.3.2 going down\r\n")};
    expected = {250, 421};
  }
  worker.backends.configure(table({settings}));
  const auto outcome = worker.deliver_and_finish({to("a"), to("b")});
  CHECK(outcome.codes() == expected);
  CHECK(first.messages.size() == 1);
  CHECK(second.messages.empty());
}

TEST_CASE("too many lines after the dot cost the connection, not the message") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["."] = {says("250 2.0.0 saved\r\n250 2.0.0 and again\r\n")};
  worker.backends.configure(table({backend("store", {server.target()})}));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK(worker.deliver_and_finish({to("carol")}).codes() == std::vector{250});
  CHECK(server.messages.size() == 2);
}

TEST_CASE("a backend that closes in the middle of the message: the next target gets it from its start") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  first.stops_reading_at_data = true;
  worker.backends.configure(table({backend("store", {first.target(), second.target()})}));
  REQUIRE(worker.greeted());
  // More than lies in the buffers between us and a backend that reads nothing.
  std::vector<std::string> pieces(256, std::string(64 * 1024, 'x') + "\r\n");
  std::string whole;
  for (const auto& piece : pieces) whole += piece;
  std::unique_ptr<BodySource> body;
  SECTION("from memory") { body = std::make_unique<MemoryBody>(pieces); }
  SECTION("from disk") { body = std::make_unique<LateBody>(worker.loop, pieces, LateBody::End::Whole); }
  const auto outcome = worker.deliver({to("bob")}, std::move(body));
  REQUIRE(worker.turn_until([&] { return first.count("DATA") == 1; }));
  first.close_newest();
  CHECK(worker.finish(outcome).codes() == std::vector{250});
  REQUIRE(second.messages.size() == 1);
  CHECK(second.messages.front() == whole);
  CHECK(first.messages.empty());
}

// --- kept connections ---

TEST_CASE("a kept connection that the backend closes is forgotten") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  SECTION("with 421") { server.say("421 4.4.2 idle for too long\r\n"); }
  SECTION("without a word") { server.close_newest(); }
  CHECK(worker.turn_until([&] { return worker.backends.status().front().open == 0; }));
  CHECK(worker.backends.status().front().failures == 0);
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
}

TEST_CASE("a kept connection that fails before its first answer is retried once on a fresh one") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  REQUIRE(server.connections() == 1);
  SECTION("closed") { server.script["MAIL"] = {closes()}; }
  SECTION("closed with a 421 that crossed our MAIL") { server.script["MAIL"] = {closes("421 4.4.2 idle\r\n")}; }
  SECTION("reset") { server.script["MAIL"] = {resets()}; }
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK(server.connections() == 2);
  CHECK(server.messages.size() == 1);
}

TEST_CASE("but not twice") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  server.script["MAIL"] = {closes(), closes(), closes()};
  CHECK(worker.deliver_and_finish({to("bob")}).reply() == smtp::replies::backend_lost);
  CHECK(server.connections() == 2);
}

TEST_CASE("an idle connection is ended with QUIT at its limit") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  auto settings = backend("store", {server.target()});
  settings.idle_max = 10ms;
  worker.backends.configure(table({settings}));
  CHECK(worker.turn_until([&] { return server.count("QUIT") == 1 && server.open_connections() == 0; }));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
}

// --- limits ---

TEST_CASE("hand-offs wait for a connection, in their order") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  auto settings = backend("store", {server.target()});
  settings.connections_max = 1;
  worker.backends.configure(table({settings}));
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (const auto* name : {"a", "b", "c"}) outcomes.push_back(worker.deliver({to(name)}));
  for (const auto& outcome : outcomes) CHECK(worker.finish(outcome).codes() == std::vector{250});
  CHECK(server.connections() == 1);
  std::vector<std::string> recipients;
  for (const auto& command : server.commands) {
    if (command.starts_with("RCPT")) recipients.push_back(command);
  }
  CHECK(recipients ==
        std::vector<std::string>{"RCPT TO:<a@example.com>", "RCPT TO:<b@example.com>", "RCPT TO:<c@example.com>"});
}

TEST_CASE("but not for ever") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["."] = {keeps_silent()};
  auto settings = backend("store", {server.target()});
  settings.connections_max = 1;
  settings.wait_max = 20ms;
  worker.backends.configure(table({settings}));
  REQUIRE(worker.greeted());
  const auto first = worker.deliver({to("a")});
  const auto second = worker.deliver({to("b")});
  CHECK(worker.finish(second).reply() == smtp::replies::backend_busy);
  REQUIRE(worker.turn_until([&] { return server.count(".") == 1; }));
  server.say("250 2.0.0 saved\r\n");
  CHECK(worker.finish(first).codes() == std::vector{250});
}

TEST_CASE("at the final deadline the client has its answer, and the backend is read on") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["."] = {says("250 2.0.0 saved\r\n")};
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  const auto outcome = worker.deliver({to("a"), to("b")}, nullptr, short_limit);
  CHECK(worker.finish(outcome).codes() == std::vector{250, 451});
  CHECK(outcome->delivered->outcomes.back().reply == smtp::replies::backend_lost);
  CHECK(worker.backends.status().front().open == 1);
  server.say("250 2.0.0 late\r\n");
  CHECK(worker.turn_until([&] { return worker.notes.has("<b@example.com> from <>: taken: 250 late"); }));
  CHECK(outcome->calls == 1);
  CHECK(worker.backends.status().front().idle == 1);
}

TEST_CASE("nobody reads on for ever") {
  auto options = Worker::short_limits();
  options.late_max = 20ms;
  Worker worker(options);
  ScriptedBackend server(worker.loop);
  server.script["."] = {keeps_silent()};
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  CHECK(worker.finish(worker.deliver({to("a")}, nullptr, short_limit)).reply() == smtp::replies::backend_lost);
  CHECK(worker.turn_until([&] { return worker.backends.status().front().open == 0; }));
}

TEST_CASE("the final deadline before the dot ends the attempt") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  smtp::Reply expected;
  SECTION("while greeting") {
    server.script["connect"] = {keeps_silent(), keeps_silent()};
    expected = smtp::replies::backend_unreachable;
  }
  SECTION("in the transaction") {
    server.script["RCPT"] = {keeps_silent(), keeps_silent()};
    expected = smtp::replies::backend_lost;
  }
  worker.backends.configure(table({backend("store", {server.target()})}));
  const auto outcome = worker.deliver({to("a")}, nullptr, short_limit);
  CHECK(worker.finish(outcome).reply() == expected);
  CHECK(server.messages.empty());
}

TEST_CASE("a check of a backend that says nothing ends within its limits") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  auto settings = backend("store", {server.target()});
  settings.timeouts.command = short_limit;
  server.script["RCPT"] = {keeps_silent(), keeps_silent()};
  const auto routes = table({settings});
  worker.backends.configure(routes);
  CHECK(worker.check(routes, to("bob")).reply == smtp::replies::backend_lost);
}

// --- giving up ---

TEST_CASE("a delivery that is cancelled before the dot is dropped without one") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["DATA"] = {keeps_silent()};
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  const auto outcome = worker.deliver({to("bob")});
  REQUIRE(worker.turn_until([&] { return server.count("DATA") == 1; }));
  worker.backends.cancel(outcome->id);
  worker.backends.cancel(outcome->id);
  CHECK(worker.turn_until([&] { return server.open_connections() == 0; }));
  CHECK(outcome->calls == 0);
  CHECK(server.messages.empty());
}

TEST_CASE("a delivery that is cancelled after the dot is read to its end") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["."] = {keeps_silent()};
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  const auto outcome = worker.deliver({to("bob")});
  REQUIRE(worker.turn_until([&] { return server.count(".") == 1; }));
  worker.backends.cancel(outcome->id);
  server.say("250 2.0.0 saved\r\n");
  CHECK(worker.turn_until([&] { return worker.notes.has("<bob@example.com>"); }));
  CHECK(outcome->calls == 0);
  CHECK(worker.backends.status().front().idle == 1);
}

TEST_CASE("a message that cannot be read back is never ended with a dot") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  const auto outcome = worker.deliver(
      {to("bob")},
      std::make_unique<LateBody>(worker.loop, std::vector<std::string>{"half\r\n"}, LateBody::End::Unreadable));
  CHECK(worker.finish(outcome).reply() == smtp::replies::local_error);
  CHECK(worker.notes.has("the disk is gone"));
  CHECK(server.messages.empty());
  CHECK(worker.deliver_and_finish({to("carol")}).codes() == std::vector{250});
}
