// What `postern status` and `postern reload` say, and how they ask: against a control socket that follows a script.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <string>
#include <thread>

#include "daemon/session/control_client.h"
#include "daemon/tool/reload.h"
#include "daemon/tool/status.h"
#include "daemon/tool/store.h"
#include "daemon/tool/table.h"
#include "daemon/uv/socket.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using postern::test::TemporaryDirectory;

namespace {

constexpr Duration long_enough = std::chrono::seconds(30);

/// Answers one connection with `answer` once a whole line has come, and closes it; without an answer it says nothing
/// and waits for the other side to close.
class ScriptedControl {
 public:
  ScriptedControl(const std::string& path, std::optional<std::string> answer) {
    auto bound = uv::bind_unix(path, 0600);
    REQUIRE(bound);
    thread_ =
        std::thread([this, listener = bound->descriptor, answer = std::move(answer)] { serve(listener, answer); });
  }
  ~ScriptedControl() {
    if (thread_.joinable()) thread_.join();
  }
  ScriptedControl(const ScriptedControl&) = delete;
  ScriptedControl& operator=(const ScriptedControl&) = delete;

  /// What it was asked.
  std::string request() {
    thread_.join();
    return request_;
  }

 private:
  void serve(int listener, const std::optional<std::string>& answer) {
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    ::poll(&waiting, 1, -1);
    const int descriptor = ::accept(listener, nullptr, nullptr);
    char c = 0;
    while (::read(descriptor, &c, 1) == 1 && (c != '\n' || !answer)) request_ += c;
    if (answer) (void)!::write(descriptor, answer->data(), answer->size());
    ::close(descriptor);
    ::close(listener);
  }

  std::string request_;
  std::thread thread_;
};

control::StatusReply some_status() {
  control::StatusReply status;
  status.version = "0.1.0";
  status.pid = 812;
  status.uptime_seconds = 90;
  status.workers = 2;
  status.sessions = 3;
  status.sessions_total = 40;
  status.messages_total = 17;
  status.log_level = "info";
  status.memory_octets = 41 * 1024 * 1024;
  status.message_memory_octets = 5 * 1024 * 1024;
  status.descriptors = 30;
  status.descriptors_max = 1024;
  status.per_worker = {{.sessions = 1, .sessions_total = 20, .messages_total = 8},
                       {.sessions = 2, .sessions_total = 20, .messages_total = 9}};
  status.names = 3;
  status.certificates = 1;
  status.map_version = 5;
  status.config_generation = 2;
  status.listeners = {{.address = "127.0.0.1:2525", .protocol = "smtp", .tls = "starttls"},
                      {.address = "127.0.0.1:9125", .protocol = "admin", .tls = "none"}};
  status.backends = {
      {.name = "store", .target = "unix:/run/store", .connections = 1, .idle = 1, .failures = 0, .last_failure = ""}};
  status.ledger.entries = 1;
  status.ledger.recorded = 4;
  status.ledger.deduplicated = 2;
  status.ledger.refused = 1;
  status.ledger.separated = 3;
  return status;
}

}  // namespace

TEST_CASE("the status as text") {
  auto status = some_status();
  CHECK(tool::status_text(status) ==
        "posternd     0.1.0, process 812, running for 90 s\n"
        "workers      2, with 1 + 2 sessions\n"
        "sessions     3 open, 40 since the start\n"
        "messages     17 taken since the start\n"
        "memory       41 MiB, of which 5 MiB for messages\n"
        "descriptors  30 of 1024\n"
        "log level    info\n"
        "certificates 1 certificate, for 3 names\n"
        "generation   2 of the configuration, 5 of the certificate map\n"
        "listener     127.0.0.1:2525  starttls\n"
        "listener     127.0.0.1:9125  admin\n"
        "backend      store  unix:/run/store  up, 1 connection, 1 idle\n"
        "ledger       1 entry, 4 recorded since the start, 2 deduplicated, 1 refused, 3 separated\n");
  status.ready = false;
  status.not_ready = {"draining", "no backend is up"};
  status.rates = {60, 12, 3, 4096};
  CHECK(tool::status_text(status).find("not ready    draining, no backend is up\n") != std::string::npos);
  CHECK(tool::status_text(status).find("3 open, 40 since the start, 12 in the last 60 s\n") != std::string::npos);
  status.uptime_seconds = 0;
  CHECK(tool::status_text(status).starts_with("posternd     0.1.0, process 812, running for less than a second\n"));
  status.backends[0].failures = 2;
  status.backends[0].last_failure = "connection refused";
  status.faults = {"live/a.example/privkey.pem: is not the key of its chain"};
  CHECK(
      tool::status_text(status).find("1 connection, 1 idle, 2 failures, the last: connection refused\n") != std::string::npos);
  status.backends[0].up = false;
  CHECK(tool::status_text(status).find("unix:/run/store  down for less than a second, 1 connection") != std::string::npos);
  status.backends[0].down_seconds = 75;
  CHECK(tool::status_text(status).find("unix:/run/store  down for 75 s, 1 connection") != std::string::npos);
  status.ledger.dropped = 5;
  status.ledger.failures = 1;
  status.ledger.last_failure = "disk full";
  CHECK(tool::status_text(status).ends_with(
      "3 separated, 5 dropped, 1 failed write, the last: disk full\n"
      "fault        live/a.example/privkey.pem: is not the key of its chain\n"));
}

TEST_CASE("a table's columns are as wide as what is in them") {
  using Side = tool::Table::Side;
  tool::Table table({{"NAME"}, {"COUNT", Side::Right}, {"WHY"}});
  CHECK(table.take().empty());
  table.row({"a.example", "7", ""});
  table.line("    of which none is new");
  table.row({"", "1234567", "because"});
  CHECK(table.take() ==
        "NAME         COUNT  WHY\n"
        "a.example        7  -\n"
        "    of which none is new\n"
        "-          1234567  because\n");
  table.row({"b", "1", "more"});
  CHECK(table.take() == "b                1  more\n");
}

TEST_CASE("a reload as text") {
  control::ReloadReply reload;
  reload.errors = {"postern.toml:3:1: unknown key"};
  CHECK(tool::reload_text(reload) ==
        "the configuration was NOT taken: the old one goes on\n"
        "error    postern.toml:3:1: unknown key\n");
  reload = {};
  reload.configuration_taken = true;
  CHECK(tool::reload_text(reload) == "the configuration was taken\nno certificate has changed\n");
  reload.added = {"a.example"};
  reload.renewed = {"b.example"};
  reload.removed = {"c.example"};
  reload.warnings = {"workers: needs a restart"};
  CHECK(tool::reload_text(reload) ==
        "the configuration was taken\n"
        "warning  workers: needs a restart\n"
        "added    a.example\n"
        "renewed  b.example\n"
        "removed  c.example\n");
}

TEST_CASE("a request and its answer cross the socket") {
  const TemporaryDirectory directory;
  const auto path = directory / "control";
  // Longer than one read.
  auto status = some_status();
  status.faults.assign(20'000, "a fault");
  ScriptedControl daemon(path, control::to_json(control::Reply(status)) + "\n");
  const auto reply = session::ask_control(path, control::StatusRequest{}, long_enough);
  REQUIRE(reply);
  const auto* got = std::get_if<control::StatusReply>(&*reply);
  REQUIRE(got != nullptr);
  CHECK(got->pid == 812);
  CHECK(got->faults.size() == 20'000);
  CHECK(daemon.request() == control::to_json(control::Request(control::StatusRequest{})));
}

TEST_CASE("a control socket that cannot be asked is named with the reason") {
  const TemporaryDirectory directory;
  const auto path = directory / "control";
  const auto text_of = [&] {
    const auto reply = session::ask_control(path, control::StatusRequest{}, std::chrono::milliseconds(50));
    REQUIRE(!reply);
    return reply.error().text;
  };
  SECTION("no socket") {
    CHECK(text_of() == path + ": no such socket: is posternd running, and is this its `control` path?");
  }
  SECTION("nobody listens") {
    auto bound = uv::bind_unix(path, 0600);
    REQUIRE(bound);
    ::close(bound->descriptor);
    CHECK(text_of() == path + ": nobody is listening: posternd has ended without removing its socket");
  }
  SECTION("no answer") {
    const ScriptedControl daemon(path, std::nullopt);
    CHECK(text_of() == path + ": posternd did not answer within 50 ms");
  }
}

TEST_CASE("an answer that is none is an error") {
  const TemporaryDirectory directory;
  const auto path = directory / "control";
  SECTION("closed") {
    const ScriptedControl daemon(path, "");
    const auto reply = session::ask_control(path, control::ReloadRequest{}, long_enough);
    REQUIRE(!reply);
    CHECK(reply.error().text == path + ": posternd closed the connection without an answer");
  }
  SECTION("another protocol") {
    const ScriptedControl daemon(path, "220 mx ESMTP\r\n");
    const auto reply = session::ask_control(path, control::ReloadRequest{}, long_enough);
    REQUIRE(!reply);
    CHECK(reply.error().text.starts_with(path + ": "));
  }
}

TEST_CASE("exit codes follow from the answer") {
  const TemporaryDirectory directory;
  const auto path = directory / "control";
  const auto status_with = [&](const control::Reply& reply) {
    const ScriptedControl daemon(path, control::to_json(reply) + "\n");
    return tool::status({.control = path, .format = tool::Format::Json});
  };
  const auto reload_with = [&](const control::Reply& reply) {
    const ScriptedControl daemon(path, control::to_json(reply) + "\n");
    return tool::reload({.control = path, .request = {}, .format = tool::Format::Json});
  };
  auto status = some_status();
  CHECK(status_with(status) == tool::exit_ok);
  status.faults = {"a fault"};
  CHECK(status_with(status) == tool::exit_failure);
  CHECK(status_with(control::ErrorReply{.text = "no"}) == tool::exit_failure);
  CHECK(status_with(control::ReloadReply{}) == tool::exit_failure);

  control::ReloadReply reload;
  CHECK(reload_with(reload) == tool::exit_failure);
  reload.configuration_taken = true;
  CHECK(reload_with(reload) == tool::exit_ok);
  reload.faults = {"a fault"};
  CHECK(reload_with(reload) == tool::exit_failure);
  CHECK(reload_with(control::ErrorReply{.text = "no"}) == tool::exit_failure);
}

TEST_CASE("where the store can be told to listen") {
  const auto literal = tool::listening_endpoints("[::1]:2424");
  REQUIRE(literal);
  CHECK(literal->front().text() == "[::1]:2424");
  const auto named = tool::listening_endpoints("localhost:2424");
  REQUIRE(named);
  REQUIRE(!named->empty());
  for (const auto& endpoint : *named) {
    CHECK(endpoint.address.is_loopback());
    CHECK(endpoint.port == 2424);
  }
  for (const auto* wrong : {"", "localhost", ":24", "localhost:", "localhost:65536", "localhost:smtp"}) {
    CHECK(!tool::listening_endpoints(wrong));
  }
}

TEST_CASE("a store beyond loopback, without a word on who may deliver, is a usage error") {
  const TemporaryDirectory directory;
  CHECK(tool::store({.listen = {"0.0.0.0:2424"}, .maildir = directory / "mail", .allow = {}}) == tool::exit_usage);
  CHECK(tool::store({.listen = {"127.0.0.1:2424"}, .maildir = directory / "mail", .allow = {"everybody"}}) ==
        tool::exit_usage);
  CHECK(test::entries_of(directory.path()).empty());
}
