// The ordinary course: messages that are taken, reloads, the end.
#include "daemon/session/backends.h"
#include "smtp/replies.h"
#include "tests/loop/backends_fixture.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using namespace postern::session;
using namespace postern::session::test;
using namespace std::chrono_literals;
using postern::test::TemporaryDirectory;

// --- the ordinary course ---

TEST_CASE("messages are handed off over a kept connection") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  const auto first = worker.deliver_and_finish({to("bob"), to("carol")});
  CHECK(first.codes() == std::vector{250, 250});
  CHECK(first.reply() == smtp::Reply{250, "2.0.0", "saved"});
  CHECK(first.delivered->target == "store " + server.target());
  REQUIRE(server.messages.size() == 1);
  CHECK(server.messages.front() == "Subject: x\r\n\r\n..\r\n");
  CHECK(worker.deliver_and_finish({to("dave")}).codes() == std::vector{250});
  // The greeting's own connection at the start may have been another.
  CHECK(server.connections() <= 2);
  CHECK(server.messages.size() == 2);
  CHECK(server.commands.front() == "LHLO mx.example.net");
}

TEST_CASE("every recipient has the reply that was given for it") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["RCPT"] = {says("250 ok\r\n"), says("550 5.1.1 unknown\r\n"), says("250 ok\r\n")};
  server.script["."] = {says("452 4.2.2 full\r\n250 2.0.0 saved\r\n")};
  worker.backends.configure(table({backend("store", {server.target()})}));
  CHECK(worker.deliver_and_finish({to("a"), to("b"), to("c")}).codes() == std::vector{452, 550, 250});
}

TEST_CASE("a backend may be named") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  // `localhost` is ::1 first, where nobody listens.
  worker.backends.configure(table({backend("store", {fmt::format("localhost:{}", server.endpoint().port)})}));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
}

TEST_CASE("a backend may have a unix socket") {
  Worker worker;
  const TemporaryDirectory directory;
  const auto path = directory / "lmtp";
  const auto routes = table({backend("store", {"unix:" + path})});
  SECTION("that listens") {
    auto bound = uv::bind_unix(path, 0600);
    REQUIRE(bound);
    ScriptedBackend server(worker.loop, *bound);
    worker.backends.configure(routes);
    const auto outcome = worker.deliver_and_finish({to("bob")});
    CHECK(outcome.codes() == std::vector{250});
    CHECK(outcome.delivered->target == "store unix:" + path);
  }
  SECTION("or not") {
    worker.backends.configure(routes);
    CHECK(worker.deliver_and_finish({to("bob")}).reply() == smtp::replies::backend_unreachable);
    CHECK(worker.notes.has(path));
  }
}

TEST_CASE("a large message goes out as fast as the backend reads, and unharmed") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  server.stops_reading_at_data = true;
  std::vector<std::string> pieces;
  std::string whole;
  for (int i = 0; i < 512; ++i) {
    std::string line = fmt::format("{} {}\r\n", i, std::string(990, 'x'));
    std::string piece;
    for (int j = 0; j < 16; ++j) piece += line;
    whole += piece;
    pieces.push_back(std::move(piece));
  }
  const bool late = GENERATE(false, true);
  std::unique_ptr<BodySource> body;
  if (late) {
    body = std::make_unique<LateBody>(worker.loop, pieces, LateBody::End::Whole);
  } else {
    body = std::make_unique<MemoryBody>(pieces);
  }
  const auto outcome = worker.deliver({to("bob")}, std::move(body));
  REQUIRE(worker.turn_until([&] { return server.count("DATA") == 1; }));
  CHECK(outcome->calls == 0);
  server.start_reading();
  CHECK(worker.finish(outcome).codes() == std::vector{250});
  REQUIRE(server.messages.size() == 1);
  CHECK(server.messages.front() == whole);
}

// --- configuration ---

TEST_CASE("a backend that nobody has configured") {
  Worker worker;
  CHECK(worker.finish(worker.deliver({to("bob")})).reply() == smtp::replies::local_error);
  const auto cancelled = worker.deliver({to("bob")});
  worker.backends.cancel(cancelled->id);
  worker.finish(worker.deliver({to("bob")}));
  CHECK(cancelled->calls == 0);
}

TEST_CASE("a reload keeps the connections of what has not changed") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  REQUIRE(worker.greeted());
  worker.backends.configure(table({backend("store", {server.target()}), backend("new", {server.target()})}));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK(server.count("QUIT") == 0);
  CHECK(worker.backends.status().size() == 2);
}

TEST_CASE("a reload lets a backend that is gone finish what it has begun") {
  Worker worker;
  ScriptedBackend before(worker.loop);
  ScriptedBackend after(worker.loop);
  before.script["."] = {keeps_silent()};
  const auto old_routes = table({backend("store", {before.target()}), backend("gone", {before.target()})});
  worker.backends.configure(old_routes);
  const auto outcome = worker.deliver({to("bob")});
  REQUIRE(worker.turn_until([&] { return before.count(".") == 1; }));
  worker.backends.configure(table({backend("store", {after.target()})}));
  CHECK(worker.deliver_and_finish({to("carol")}).delivered->target == "store " + after.target());
  CHECK(outcome->calls == 0);
  // A session that still goes by the table before.
  CHECK(worker.check(old_routes, to("bob", "other.example")).reply == smtp::replies::local_error);
  CHECK(worker.check(old_routes, to("bob")).reply.code == 250);
  CHECK(after.count("RCPT") == 2);
  before.say("250 2.0.0 saved\r\n");
  worker.shut_down();
  CHECK(outcome->calls == 1);
}

TEST_CASE("what backends offer is known after their first greeting") {
  Worker worker;
  ScriptedBackend store(worker.loop);
  ScriptedBackend other(worker.loop);
  store.extensions = "SMTPUTF8";
  const auto routes = table({backend("store", {store.target()}), backend("other", {other.target()})});
  const auto utf8 = [&](const char* session_backend) {
    const auto* const backend = session_backend == nullptr ? nullptr : routes->find(session_backend);
    return worker.backends.capabilities(routes->reachable(backend)).smtputf8;
  };
  CHECK_FALSE(utf8("store"));
  worker.backends.configure(routes);
  CHECK_FALSE(utf8("store"));
  CHECK(worker.turn_until([&] { return utf8("store"); }));
  REQUIRE(worker.turn_until([&] { return other.count("LHLO") == 1; }));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK_FALSE(utf8(nullptr));
  CHECK_FALSE(utf8("other"));
  CHECK(utf8("store"));
}

TEST_CASE("a backend that was dead at the start is greeted when it lives") {
  auto options = Worker::short_limits();
  options.backoff_first = 10ms;
  options.backoff_max = 10ms;
  Worker worker(options);
  ScriptedBackend server(worker.loop);
  server.extensions = "SMTPUTF8";
  server.script["connect"] = {closes(), closes()};
  const auto routes = table({backend("store", {server.target()})});
  worker.backends.configure(routes);
  CHECK(worker.turn_until([&] { return worker.backends.capabilities(routes->reachable(nullptr)).smtputf8; }));
  CHECK(worker.backends.status().front().failures == 2);
  CHECK(worker.notes.has("answers again"));
}

// --- the end ---

TEST_CASE("shutting down: idle connections get QUIT, what runs finishes, nothing new begins") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.script["."] = {keeps_silent()};
  const auto routes = table({backend("store", {server.target()})});
  worker.backends.configure(routes);
  REQUIRE(worker.greeted());
  REQUIRE(worker.check(routes, to("dave")).reply.code == 250);
  const auto running = worker.deliver({to("bob")});
  REQUIRE(worker.turn_until([&] { return server.count(".") == 1; }));
  bool down = false;
  worker.backends.shut_down([&down] { down = true; });
  CHECK(worker.finish(worker.deliver({to("carol")})).reply() == smtp::replies::backend_busy);
  CHECK(worker.check(routes, to("erin")).reply == smtp::replies::backend_busy);
  CHECK_FALSE(down);
  server.say("250 2.0.0 saved\r\n");
  CHECK(worker.finish(running).codes() == std::vector{250});
  CHECK(worker.turn_until([&] { return down; }));
  CHECK(server.count("QUIT") == 1);
  worker.shut_down();
}
