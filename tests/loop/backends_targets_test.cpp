// Several targets: which is used, how their health is seen, and how workers share their connections.
#include <algorithm>

#include "daemon/session/backends.h"
#include "smtp/replies.h"
#include "tests/loop/backends_fixture.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace postern::session::test;
using namespace std::chrono_literals;

namespace {

const TargetStatus& status_of(const std::vector<TargetStatus>& all, const ScriptedBackend& server) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&server](const auto& each) { return each.target == server.target(); });
  REQUIRE(found != all.end());
  return *found;
}

bool is_up(const Worker& worker, const ScriptedBackend& server) {
  const auto all = worker.backends.status();
  return status_of(all, server).up;
}

/// Everybody is greeted at the start.
bool all_idle(Worker& worker, std::size_t count) {
  return worker.turn_until([&worker, count] {
    const auto all = worker.backends.status();
    return all.size() == count && std::all_of(all.begin(), all.end(), [](const auto& each) { return each.idle > 0; });
  });
}

Backends::Options short_pauses() {
  auto options = Worker::short_limits();
  options.backoff_first = 10ms;
  options.backoff_max = 10ms;
  return options;
}

}  // namespace

// --- balance ---

TEST_CASE("the least busy target is used") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  auto settings = backend("store", {first.target(), second.target()});
  settings.balance = delivery::Balance::Least;
  worker.backends.configure(table({settings}));
  REQUIRE(all_idle(worker, 2));
  first.script["."] = {keeps_silent()};
  second.script["."] = {keeps_silent()};
  std::vector<std::shared_ptr<Outcome>> outcomes{worker.deliver({to("a")}), worker.deliver({to("b")})};
  REQUIRE(worker.turn_until([&] { return first.count(".") == 1 && second.count(".") == 1; }));
  first.say("250 2.0.0 saved\r\n");
  REQUIRE(worker.turn_until([&] { return outcomes[0]->calls + outcomes[1]->calls == 1; }));
  CHECK(worker.deliver_and_finish({to("c")}).delivered->target == "store " + first.target());
  second.say("250 2.0.0 saved\r\n");
  for (const auto& outcome : outcomes) CHECK(worker.finish(outcome).codes() == std::vector{250});
}

TEST_CASE("spread by recipient, a message to several homes is sent to each, and the answers are joined") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  auto settings = backend("store", {first.target(), second.target()});
  settings.balance = delivery::Balance::Hash;
  worker.backends.configure(table({settings}));
  REQUIRE(all_idle(worker, 2));
  std::vector<smtp::ForwardPath> recipients;
  for (int i = 0; i < 20; ++i) recipients.push_back(to("user" + std::to_string(i)));
  const auto outcome = worker.deliver_and_finish(recipients);
  CHECK(outcome.codes() == std::vector<int>(20, 250));
  REQUIRE((first.messages.size() == 1 && second.messages.size() == 1));
  CHECK(first.messages == second.messages);
  CHECK(first.count("RCPT") + second.count("RCPT") == 20);
  CHECK((first.count("RCPT") > 0 && second.count("RCPT") > 0));
  // Each has a home, and the answer of that one is its own.
  const auto homes_before = first.count("RCPT");
  worker.deliver_and_finish(recipients);
  CHECK(first.count("RCPT") == 2 * homes_before);
  first.script["RCPT"].assign(20, says("550 5.1.1 not here\r\n"));
  const auto mixed = worker.deliver_and_finish(recipients).codes();
  CHECK(static_cast<std::size_t>(std::count(mixed.begin(), mixed.end(), 550)) == homes_before);
}

TEST_CASE("spread by recipient, the other target stands in for one that is dead") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  first.stop_listening();
  auto settings = backend("store", {first.target(), second.target()});
  settings.balance = delivery::Balance::Hash;
  worker.backends.configure(table({settings}));
  std::vector<smtp::ForwardPath> recipients;
  for (int i = 0; i < 20; ++i) recipients.push_back(to("user" + std::to_string(i)));
  CHECK(worker.deliver_and_finish(recipients).codes() == std::vector<int>(20, 250));
  CHECK(second.count("RCPT") == 20);
}

TEST_CASE("a delivery in parts can be given up") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  auto settings = backend("store", {first.target(), second.target()});
  settings.balance = delivery::Balance::Hash;
  worker.backends.configure(table({settings}));
  REQUIRE(all_idle(worker, 2));
  first.script["DATA"] = {keeps_silent()};
  second.script["DATA"] = {keeps_silent()};
  std::vector<smtp::ForwardPath> recipients;
  for (int i = 0; i < 20; ++i) recipients.push_back(to("user" + std::to_string(i)));
  const auto outcome = worker.deliver(recipients);
  REQUIRE(worker.turn_until([&] { return first.count("DATA") == 1 && second.count("DATA") == 1; }));
  worker.backends.cancel(outcome->id);
  CHECK(worker.turn_until([&] { return first.open_connections() + second.open_connections() == 0; }));
  CHECK(outcome->calls == 0);
}

// --- health ---

TEST_CASE("one dead and one slow of three: mail goes on, and the dead one is used when it lives again") {
  Worker worker(short_pauses());
  ScriptedBackend dead(worker.loop);
  ScriptedBackend slow(worker.loop);
  ScriptedBackend well(worker.loop);
  auto settings = backend("store", {dead.target(), slow.target(), well.target()});
  settings.timeouts.command = short_limit;
  dead.script["connect"].assign(50, closes());
  slow.script["MAIL"] = {keeps_silent()};
  worker.backends.configure(table({settings}));
  const auto outcome = worker.deliver_and_finish({to("bob")});
  CHECK(outcome.codes() == std::vector{250});
  CHECK(outcome.delivered->target == "store " + well.target());
  CHECK_FALSE(is_up(worker, dead));
  CHECK(is_up(worker, well));
  dead.script["connect"].clear();
  // Nobody has to send mail for that.
  CHECK(worker.turn_until([&] { return is_up(worker, dead); }));
  CHECK(worker.notes.has("answers again"));
  CHECK(worker.deliver_and_finish({to("bob")}).delivered->target == "store " + dead.target());
}

TEST_CASE("a target that breaks off one transaction after the other is left in peace") {
  Worker worker;
  ScriptedBackend bad(worker.loop);
  ScriptedBackend good(worker.loop);
  worker.backends.configure(table({backend("store", {bad.target(), good.target()})}));
  bad.script["DATA"].assign(10, closes());
  for (int i = 0; i < 5; ++i) CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK(bad.count("DATA") == 3);
  CHECK_FALSE(is_up(worker, bad));
}

TEST_CASE("what a target says of a recipient, or of a message, is no matter of its health") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  worker.backends.configure(table({backend("store", {server.target()})}));
  server.script["RCPT"].assign(10, says("451 4.3.0 not now\r\n"));
  server.script["MAIL"] = {says("250 ok\r\n"), says("451 4.3.0 no\r\n"), says("550 5.7.1 no\r\n")};
  for (int i = 0; i < 10; ++i) worker.deliver_and_finish({to("bob")});
  CHECK(is_up(worker, server));
  CHECK(worker.backends.status().front().failures == 0);
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
}

TEST_CASE("an unused target is looked at") {
  Worker worker(short_pauses());
  ScriptedBackend server(worker.loop);
  auto settings = backend("store", {server.target()});
  settings.health_interval = 10ms;
  SECTION("with NOOP on an idle connection") {
    worker.backends.configure(table({settings}));
    CHECK(worker.turn_until([&] { return server.count("NOOP") >= 3; }));
    CHECK(server.connections() == 1);
    CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  }
  SECTION("with a connection of its own where none is kept") {
    settings.idle_max = 0ms;
    worker.backends.configure(table({settings}));
    CHECK(worker.turn_until([&] { return server.connections() >= 3 && server.count("QUIT") >= 2; }));
    CHECK(server.count("NOOP") == 0);
  }
  SECTION("one that answers no NOOP is down until a new connection is greeted") {
    settings.timeouts.command = short_limit;
    server.script["NOOP"] = {keeps_silent()};
    worker.backends.configure(table({settings}));
    CHECK(worker.turn_until([&] { return worker.notes.has("gave no answer to NOOP in time"); }));
    CHECK(worker.turn_until([&] { return is_up(worker, server); }));
    CHECK(worker.backends.status().front().failures == 1);
  }
  SECTION("one that closes at NOOP was only tired of an idle connection") {
    server.script["NOOP"] = {closes("421 4.4.2 idle\r\n"), closes()};
    worker.backends.configure(table({settings}));
    CHECK(worker.turn_until([&] { return server.connections() >= 3; }));
    CHECK(worker.backends.status().front().failures == 0);
  }
}

// --- connections ---

TEST_CASE("workers lend each other connections, within the limit of all") {
  auto options = Worker::short_limits();
  Worker one(options);
  ScriptedBackend server(one.loop);
  auto settings = backend("store", {server.target()});
  settings.connections_max = 2;
  const auto routes = table({settings});
  one.backends.configure(routes);
  // Worker one takes both.
  server.script["."] = {says("250 2.0.0 saved\r\n"), says("250 2.0.0 saved\r\n")};
  const auto a = one.deliver({to("a")});
  const auto b = one.deliver({to("b")});
  one.finish(a);
  one.finish(b);
  REQUIRE(one.turn_until([&] { return one.backends.status().front().idle == 2; }));

  Worker other(options);
  other.backends.configure(routes);
  const auto c = other.deliver({to("c")});
  REQUIRE(uv::test::turn_until(one.loop, [&] {
    uv_run(other.loop.get(), UV_RUN_NOWAIT);
    return c->calls == 1;
  }));
  CHECK(c->codes() == std::vector{250});
  CHECK(server.connections() == 3);
  CHECK(server.count("QUIT") == 1);
  CHECK(one.backends.status().front().open == 1);
}

TEST_CASE("a message that not every target can carry is refused when its recipients are named") {
  Worker worker;
  ScriptedBackend server(worker.loop);
  server.extensions = "CHUNKING";
  worker.backends.configure(table({backend("store", {server.target()})}));
  smtp::MailParameters utf8;
  utf8.smtputf8 = true;
  smtp::MailParameters binary;
  binary.body = smtp::MailParameters::Body::BinaryMime;
  CHECK_FALSE(worker.backends.cannot_carry("store", utf8));  // nobody knows yet
  REQUIRE(worker.greeted());
  CHECK(worker.backends.cannot_carry("store", utf8) == smtp::replies::smtputf8_unsupported_behind);
  CHECK(worker.backends.cannot_carry("store", binary) == smtp::replies::binarymime_unsupported_behind);
  CHECK_FALSE(worker.backends.cannot_carry("store", {}));
  CHECK_FALSE(worker.backends.cannot_carry("other", utf8));
}
