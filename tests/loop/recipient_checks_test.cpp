#include "daemon/session/recipient_checks.h"

#include <fmt/format.h>

#include <optional>

#include "smtp/replies.h"
#include "tests/loop/backends_fixture.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace postern::session::test;
using namespace std::chrono_literals;

namespace {

/// A worker with one backend, "store", that has all domains.
class OneBackend : public Worker {
 public:
  explicit OneBackend(delivery::RecipientCheckSettings settings = {},
                      delivery::RecipientCheck check = delivery::RecipientCheck::Verify) {
    auto store = backend("store", {server.target()});
    store.recipients = check;
    use(store);
    backends.configure_checks(settings, nullptr);
  }
  ~OneBackend() { shut_down(); }

  void use(const delivery::BackendSettings& store) {
    routes = std::make_shared<delivery::RouteTable>(
        std::vector{store}, std::vector<delivery::DomainSettings>{{{}, "store", {}}}, std::nullopt);
    backends.configure(routes);
  }

  smtp::Reply check(const smtp::ForwardPath& recipient) { return Worker::check(routes, recipient).reply; }

  /// Of the recipients that were asked about.
  std::vector<std::string> probes() const {
    std::vector<std::string> made;
    for (const auto& command : server.commands) {
      if (command.starts_with("RCPT TO:<postern-probe-")) made.push_back(command);
    }
    return made;
  }

  ScriptedBackend server{loop};
  Table routes;
};

proxy::ClientIdentity client_at(std::string_view address) {
  proxy::ClientIdentity made;
  made.address = IpAddress::parse(address);
  return made;
}

}  // namespace

TEST_CASE("the backend is told who asks, although the connection was another client's before") {
  OneBackend worker;
  auto store = backend("store", {worker.server.target()});
  store.connections_max = 1;
  worker.use(store);
  worker.server.extensions = "XCLIENT ADDR";
  worker.server.script["XCLI"] = {says("220 ready\r\n"), says("220 ready\r\n"), says("220 ready\r\n")};
  for (const char* client : {"192.0.2.1", "192.0.2.2"}) {
    const auto checked = worker.start_check(worker.routes, to(client), client_at(client));
    REQUIRE(worker.turn_until([&] { return checked->has_value(); }));
    CHECK((*checked)->reply.code == 250);
  }
  std::vector<std::string> told;
  for (const auto& command : worker.server.commands) {
    if (command.starts_with("XCLIENT") || command.starts_with("RCPT")) told.push_back(command);
  }
  CHECK(told == std::vector<std::string>{"XCLIENT ADDR=192.0.2.1", "RCPT TO:<192.0.2.1@example.com>",
                                         "XCLIENT ADDR=192.0.2.2", "RCPT TO:<192.0.2.2@example.com>"});
}

TEST_CASE("a refusal that may be about the client is no answer to another one") {
  OneBackend worker;
  const auto policy = GENERATE(as<std::string>{}, "550 5.7.1 not you\r\n", "550 5.1.1 nobody\r\n");
  worker.server.script["RCPT"] = {says(policy), says("250 2.1.5 ok\r\n"), says("250 2.1.5 ok\r\n")};
  const auto first = client_at("192.0.2.1");
  const auto second = client_at("192.0.2.2");
  const auto one = worker.start_check(worker.routes, to("bob"), first);
  const auto same = worker.start_check(worker.routes, to("bob"), first);
  const auto other = worker.start_check(worker.routes, to("bob"), second);
  REQUIRE(worker.turn_until([&] { return one->has_value() && same->has_value() && other->has_value(); }));
  CHECK((*one)->reply.code == 550);
  CHECK((*same)->reply.code == 550);
  const bool about_recipient = policy.starts_with("550 5.1.1");
  CHECK((*other)->reply.code == (about_recipient ? 550 : 250));
  CHECK(worker.server.count("RCPT") == (about_recipient ? 1 : 2));
}

TEST_CASE("workers learn together which domains take every name") {
  auto options = Worker::short_limits();
  uv::Loop loop;
  ScriptedBackend server(loop);
  const auto routes = table({backend("store", {server.target()})});
  Worker one(options);
  Worker other(options);
  for (Worker* worker : {&one, &other}) {
    worker->backends.configure(routes);
    worker->backends.configure_checks({.catch_all_after = 2}, nullptr);
  }
  const auto check = [&](Worker& worker, const char* name) {
    const auto checked = worker.start_check(routes, to(name));
    REQUIRE(worker.turn_until([&] {
      uv_run(loop.get(), UV_RUN_NOWAIT);
      return checked->has_value();
    }));
    CHECK((*checked)->reply.code == 250);
  };
  check(one, "a");
  check(other, "b");
  REQUIRE(other.turn_until([&] {
    uv_run(loop.get(), UV_RUN_NOWAIT);
    return other.notes.has("takes any name at example.com");
  }));
  const auto asked = server.count("RCPT");
  check(one, "c");
  CHECK(server.count("RCPT") == asked);
}

TEST_CASE("a domain that takes a random name is not asked about for a while") {
  OneBackend worker;
  for (const char* name : {"a", "b", "c"}) CHECK(worker.check(to(name)).code == 250);
  REQUIRE(worker.turn_until([&] {
    return worker.notes.has("backend store: takes any name at example.com: it is not asked about recipients there for 60 min");
  }));
  REQUIRE(worker.probes().size() == 1);
  CHECK(worker.probes().front().ends_with("@example.com>"));
  const auto asked = worker.server.count("RCPT");
  for (int i = 0; i < 100; ++i) {
    const auto answer = worker.start_check(worker.routes, to(fmt::format("user{}", i), "Example.COM"));
    REQUIRE(answer->has_value());
    CHECK((*answer)->reply == smtp::replies::recipient_ok);
  }
  CHECK(worker.server.count("RCPT") == asked);
  CHECK(worker.check(to("a", "other.example")).code == 250);
  CHECK(worker.server.count("RCPT") == asked + 1);
  // Every check gave its connection back, clean.
  CHECK(worker.server.count("RSET") == worker.server.count("RCPT"));
}

TEST_CASE("a domain that refuses a random name is asked about each recipient") {
  OneBackend worker({.catch_all_after = 2});
  worker.server.script["RCPT"] = {says("250 2.1.5 ok\r\n"), says("250 2.1.5 ok\r\n"), says("550 5.1.1 no\r\n"),
                                  says("550 5.1.1 no\r\n")};
  for (const char* name : {"a", "b"}) CHECK(worker.check(to(name)).code == 250);
  REQUIRE(worker.turn_until([&] { return worker.server.count("RCPT") == 3; }));
  CHECK(worker.check(to("nobody")).code == 550);
  for (int i = 0; i < 10; ++i) CHECK(worker.check(to(fmt::format("user{}", i))).code == 250);
  CHECK(worker.probes().size() == 1);
  CHECK(worker.server.count("RCPT") == 14);
}

TEST_CASE("no random name is tried where that is switched off, or where answers are no") {
  OneBackend off({.catch_all_for = 0s});
  for (int i = 0; i < 10; ++i) CHECK(off.check(to(fmt::format("user{}", i))).code == 250);
  CHECK(off.probes().empty());
  OneBackend busy({.catch_all_after = 1});
  busy.server.script["RCPT"] = {says("550 5.1.1 no\r\n"), says("451 4.3.0 later\r\n"), says("552 5.2.2 full\r\n")};
  for (const char* name : {"a", "b", "c"}) CHECK(busy.check(to(name)).code != 250);
  CHECK(busy.probes().empty());
}

TEST_CASE("a new generation of the same backend keeps what is known, another backend does not") {
  OneBackend worker;
  CHECK(worker.check(to("bob")).code == 250);
  worker.backends.configure(worker.routes);
  CHECK(worker.check(to("bob")).code == 250);
  CHECK(worker.server.count("RCPT") == 1);
  auto changed = worker.routes->backends().front();
  changed.idle_max = 1s;
  worker.use(changed);
  CHECK(worker.check(to("bob")).code == 250);
  CHECK(worker.server.count("RCPT") == 2);
}

TEST_CASE("a list says who there is, and the backend is not asked") {
  OneBackend worker({}, delivery::RecipientCheck::Listed);
  const auto list = delivery::parse_user_list("alice\nbob@example.com\n", {.path = "u"}).list;
  REQUIRE(list);
  // Before the list is there, nobody can say.
  CHECK(worker.check(to("alice")) == smtp::replies::local_error);
  const auto lists = std::make_shared<const delivery::UserLists>(delivery::UserLists{{"store", list}});
  worker.backends.configure_checks({}, lists);
  CHECK(worker.check(to("alice+tag")) == smtp::replies::recipient_ok);
  CHECK(worker.check(to("bob")) == smtp::replies::recipient_ok);
  CHECK(worker.check(to("bob", "other.example")) == smtp::replies::no_such_mailbox);
  CHECK(worker.check(to("eve")) == smtp::replies::no_such_mailbox);
  CHECK(worker.server.count("RCPT") == 0);
}
