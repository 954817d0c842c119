#include "daemon/session/backends.h"

#include <utility>

#include "base/text.h"
#include "daemon/session/journal.h"
#include "smtp/replies.h"
#include "tests/loop/scripted_backend.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using namespace postern::session;
using namespace postern::session::test;
using namespace std::chrono_literals;
using postern::test::TemporaryDirectory;

namespace {

/// For limits that a test has to wait for, although what else happens must stay within them.
constexpr Duration short_limit = 300ms;

class Notes final : public Journal {
 public:
  void record(const observe::SessionRecord&) override {}
  void record(const observe::RecipientRecord&) override {}
  void record(const observe::HttpRecord&) override {}
  void note(observe::Level, std::string_view message) override { lines.emplace_back(message); }

  bool has(std::string_view text) const {
    for (const auto& line : lines) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  }
  std::vector<std::string> lines;
};

class MemoryBody final : public BodySource {
 public:
  explicit MemoryBody(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  void next(std::function<void(Result<std::string_view>)> piece) override {
    piece(at_ < pieces_.size() ? std::string_view(pieces_[at_++]) : std::string_view());
  }

 private:
  std::vector<std::string> pieces_;
  std::size_t at_ = 0;
};

/// A spilled message: pieces come at a later turn of the loop; after the last one it fails, or ends.
class LateBody final : public BodySource {
 public:
  enum class End { Whole, Unreadable };
  LateBody(uv::Loop& loop, std::vector<std::string> pieces, End end)
      : loop_(loop), timer_(loop, [this] { give(); }), pieces_(std::move(pieces)), end_(end) {}
  void next(std::function<void(Result<std::string_view>)> piece) override {
    wanted_ = std::move(piece);
    timer_.start_at(loop_.now());
  }

 private:
  void give() {
    const auto piece = std::exchange(wanted_, nullptr);
    if (at_ < pieces_.size()) return piece(std::string_view(pieces_[at_++]));
    if (end_ == End::Unreadable) return piece(fail("the disk is gone"));
    piece(std::string_view());
  }

  uv::Loop& loop_;
  uv::Timer timer_;
  std::vector<std::string> pieces_;
  End end_;
  std::size_t at_ = 0;
  std::function<void(Result<std::string_view>)> wanted_;
};

smtp::ForwardPath to(std::string local_part, std::string domain = "example.com") {
  return {{std::move(local_part), std::move(domain)}};
}

delivery::BackendSettings backend(std::string name, std::initializer_list<std::string> targets) {
  delivery::BackendSettings made;
  made.name = std::move(name);
  for (const auto& target : targets) made.targets.push_back(delivery::parse_target(target).value());
  return made;
}

using Table = std::shared_ptr<const delivery::RouteTable>;

Table table(std::vector<delivery::BackendSettings> backends, std::optional<smtp::Mailbox> postmaster = {}) {
  std::vector<delivery::DomainSettings> domains{{DnsName::parse("example.com"), backends.front().name, {}}};
  if (backends.size() > 1) domains.push_back({DnsName::parse("other.example"), backends.back().name, {}});
  return std::make_shared<delivery::RouteTable>(std::move(backends), std::move(domains), std::move(postmaster));
}

/// What has become of a delivery.
struct Outcome {
  DeliveryId id = 0;
  std::optional<Delivered> delivered;
  unsigned calls = 0;

  std::vector<int> codes() const {
    std::vector<int> made;
    for (const auto& outcome : delivered.value().outcomes) made.push_back(outcome.reply.code);
    return made;
  }
  const smtp::Reply& reply() const { return delivered.value().outcomes.front().reply; }
};

/// A worker's Backends on a loop of its own, with limits that are short enough to wait for.
class Worker {
 public:
  explicit Worker(Backends::Options options = short_limits()) : backends(loop, resolver, notes, std::move(options)) {}
  ~Worker() { shut_down(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  static Backends::Options short_limits() {
    Backends::Options options;
    options.hostname = "mx.example.net";
    options.wait_max = 10s;
    options.backoff_first = 1h;
    options.backoff_max = 1h;
    return options;
  }

  void shut_down() {
    if (std::exchange(is_down_, true)) return;
    bool done = false;
    backends.shut_down([&done] { done = true; });
    CHECK_FALSE(done);
    CHECK(turn_until([&done] { return done; }));
  }

  bool turn_until(const std::function<bool()>& done) { return uv::test::turn_until(loop, done); }

  std::shared_ptr<Outcome> deliver(std::vector<smtp::ForwardPath> recipients,
                                   std::unique_ptr<BodySource> body = nullptr, Duration limit = 1h,
                                   std::string backend = "store") {
    if (!body) body = std::make_unique<MemoryBody>(std::vector<std::string>{"Subject: x\r\n\r\n", ".\r\n"});
    Delivery delivery{std::move(backend), {{}, std::move(recipients), {}}, std::move(body), loop.now() + limit};
    auto outcome = std::make_shared<Outcome>();
    outcome->id = backends.deliver(std::move(delivery), [outcome](Delivered delivered) {
      outcome->delivered = std::move(delivered);
      ++outcome->calls;
    });
    CHECK(outcome->calls == 0);
    return outcome;
  }

  const Outcome& finish(const std::shared_ptr<Outcome>& outcome) {
    REQUIRE(turn_until([&] { return outcome->calls > 0; }));
    CHECK(outcome->calls == 1);
    return *outcome;
  }

  Outcome deliver_and_finish(std::vector<smtp::ForwardPath> recipients) {
    return finish(deliver(std::move(recipients)));
  }

  std::shared_ptr<std::optional<Checked>> start_check(const Table& routes, const smtp::ForwardPath& recipient) {
    auto checked = std::make_shared<std::optional<Checked>>();
    const auto route = routes->route(recipient);
    REQUIRE(route);
    backends.check(*route, {}, [checked](Checked result) {
      CHECK_FALSE(checked->has_value());
      *checked = std::move(result);
    });
    return checked;
  }

  Checked check(const Table& routes, const smtp::ForwardPath& recipient) {
    const auto checked = start_check(routes, recipient);
    REQUIRE(turn_until([&] { return checked->has_value(); }));
    return **checked;
  }

  /// The first greeting is over, and its connection idle.
  bool greeted() {
    return turn_until([this] {
      for (const auto& target : backends.status()) {
        if (target.idle > 0) return true;
      }
      return false;
    });
  }

  uv::Loop loop;
  uv::Resolver resolver{loop, {}};
  Notes notes;
  Backends backends;

 private:
  bool is_down_ = false;
};

/// Nobody listens there.
std::string dead_target() {
  uv::Loop loop;
  uv::Acceptor acceptor(
      loop, uv::test::bound_on_loopback(), [](int) {}, [](const Error&) {});
  auto text = acceptor.endpoint().text();
  acceptor.close();
  return text;
}

}  // namespace

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

TEST_CASE("a backend that closes in the middle of the message") {
  Worker worker;
  ScriptedBackend first(worker.loop);
  ScriptedBackend second(worker.loop);
  first.script["DATA"] = {closes("354 go\r\n")};
  worker.backends.configure(table({backend("store", {first.target(), second.target()})}));
  REQUIRE(worker.greeted());
  std::vector<std::string> pieces(64, std::string(64 * 1024, 'x') + "\r\n");
  // The body can be read only once: from its first piece on there is no other target.
  const auto outcome = worker.deliver({to("bob")}, std::make_unique<MemoryBody>(pieces));
  CHECK(worker.finish(outcome).reply() == smtp::replies::backend_lost);
  CHECK(second.count("MAIL") == 0);
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
  auto options = Worker::short_limits();
  options.wait_max = 20ms;
  options.worker_count = 64;  // its share of 20 connections is less than one: it gets one
  Worker worker(options);
  ScriptedBackend server(worker.loop);
  server.script["."] = {keeps_silent()};
  worker.backends.configure(table({backend("store", {server.target()})}));
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

TEST_CASE("what all backends offer is known after their first greeting") {
  Worker worker;
  ScriptedBackend store(worker.loop);
  ScriptedBackend other(worker.loop);
  CHECK_FALSE(worker.backends.all_offer_smtputf8());
  store.extensions = "SMTPUTF8";
  worker.backends.configure(table({backend("store", {store.target()})}));
  CHECK_FALSE(worker.backends.all_offer_smtputf8());
  CHECK(worker.turn_until([&] { return worker.backends.all_offer_smtputf8(); }));
  worker.backends.configure(table({backend("store", {store.target()}), backend("other", {other.target()})}));
  REQUIRE(worker.turn_until([&] { return other.count("LHLO") == 1; }));
  CHECK(worker.deliver_and_finish({to("bob")}).codes() == std::vector{250});
  CHECK_FALSE(worker.backends.all_offer_smtputf8());
}

TEST_CASE("a backend that was dead at the start is greeted when it lives") {
  auto options = Worker::short_limits();
  options.backoff_first = 10ms;
  options.backoff_max = 10ms;
  Worker worker(options);
  ScriptedBackend server(worker.loop);
  server.extensions = "SMTPUTF8";
  server.script["connect"] = {closes(), closes()};
  worker.backends.configure(table({backend("store", {server.target()})}));
  CHECK(worker.turn_until([&] { return worker.backends.all_offer_smtputf8(); }));
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
