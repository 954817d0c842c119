// posternd in this process, so that ThreadSanitizer and AddressSanitizer see all of its threads at work: sessions on
// two workers while certificates and configuration change under them.
#include "daemon/app/daemon.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "daemon/uv/socket.h"
#include "tests/support/catch.h"
#include "tests/support/smtp_client.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_ca.h"

using namespace postern;

namespace {

std::uint16_t free_port() {
  const auto bound = uv::bind_tcp(*Endpoint::parse("127.0.0.1:0"));
  REQUIRE(bound);
  ::close(bound->descriptor);
  return bound->endpoint.port;
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path next = path.string() + ".new";
  std::ofstream(next) << text;
  std::filesystem::rename(next, path);
}

/// A posternd on a thread, in a temporary folder of its own; ended by SIGTERM to this process, which it handles.
class RunningDaemon {
 public:
  RunningDaemon() : port(free_port()) {
    std::filesystem::create_directories(folder / "live");
    put_certificate("mx1.example.com");
    put_certificate("mx2.example.com");
    write_configuration("first.example.com");
    thread_ = std::thread([this] { exit_ = app::run((folder / "posternd.toml").string(), std::nullopt); });
    wait_until([this] { return greeting().starts_with("220 "); });
  }

  ~RunningDaemon() { stop(); }

  /// Once only: a posternd that has ended handles no signal any more.
  void terminate() {
    if (!std::exchange(terminated_, true)) ::kill(::getpid(), SIGTERM);
  }

  app::Exit stop() {
    terminate();
    if (thread_.joinable()) thread_.join();
    return exit_;
  }

  void put_certificate(const std::string& name) {
    const auto issued = ca.issue({.names = {name}});
    std::filesystem::create_directories(folder / "live" / name);
    // Combined in one rename, so that a reload never sees a key without its certificate.
    write_file(folder / "live" / name / "privkey.pem", issued.key_pem);
    write_file(folder / "live" / name / "fullchain.pem", issued.chain_pem());
  }

  void write_configuration(const std::string& hostname) {
    write_file(folder / "posternd.toml", "hostname = \"" + hostname + "\"\nworkers = 2\nsandbox = false\nstate_dir = \"" + (folder / "state").string() +
                                             "\"\ncontrol = \"" + (folder / "control").string() +
                                             "\"\n[[listen]]\naddress = \"127.0.0.1:" + std::to_string(port) +
                                             "\"\ndefault_certificate = \"mx1.example.com\"\n[certificates]\ndirectories = [\"" +
                                             (folder / "live").string() +
                                             "\"]\n[log]\nlevel = \"error\"\n[[backend]]\nname = \"store\"\ndeliver = \"lmtp\"\nto = [\"unix:" +
                                             (folder / "nobody").string() +
                                             "\"]\nrecipients = \"trust\"\n[[domain]]\nname = \"example.com\"\nbackend = \"store\"\n");
  }

  std::string greeting() const {
    try {
      return test::SmtpClient(port).reply();
    } catch (const std::exception&) {
      return "";
    }
  }

  template <class Condition>
  static void wait_until(Condition condition) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
      REQUIRE(std::chrono::steady_clock::now() < limit);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  std::string leaf_of(const std::string& name) const {
    test::SmtpClient client(port);
    client.reply();
    client.say("EHLO client.example");
    if (!client.say("STARTTLS").starts_with("220 ")) throw std::runtime_error("STARTTLS was refused");
    const std::string leaf = client.start_tls(name);
    if (!client.say("EHLO client.example").starts_with("250-")) throw std::runtime_error("EHLO over TLS was refused");
    if (!client.say("QUIT").starts_with("221 ")) throw std::runtime_error("QUIT was refused");
    return leaf;
  }

  const std::uint16_t port;
  const test::TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path();
  test::TestCa ca;

 private:
  bool terminated_ = false;
  app::Exit exit_ = app::Exit::RunFailure;
  std::thread thread_;
};

/// Runs `task` again and again on a thread, and counts the times that it throws.
class Repeating {
 public:
  explicit Repeating(std::function<void()> task)
      : thread_([this, task = std::move(task)] {
          while (!done_) {
            try {
              task();
            } catch (const std::exception& error) {
              if (failures_++ == 0) first_failure_ = error.what();
            }
            ++runs_;
          }
        }) {}
  ~Repeating() { stop(); }
  void stop() {
    done_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int runs() const { return runs_; }
  /// After stop().
  int failures() const { return failures_; }
  const std::string& first_failure() const { return first_failure_; }

 private:
  std::atomic<bool> done_{false};
  std::atomic<int> runs_{0};
  int failures_ = 0;
  std::string first_failure_;
  std::thread thread_;
};

}  // namespace

TEST_CASE("a renewed certificate is served by itself, and no connection fails while maps are replaced") {
  RunningDaemon daemon;
  Repeating first([&] { (void)daemon.leaf_of("mx1.example.com"); });
  Repeating second([&] { (void)daemon.leaf_of("mx2.example.com"); });
  std::string before = daemon.leaf_of("mx2.example.com");
  for (int renewal = 0; renewal < 5; ++renewal) {
    daemon.put_certificate("mx2.example.com");
    std::string now;
    RunningDaemon::wait_until([&] { return (now = daemon.leaf_of("mx2.example.com")) != before; });
    before = now;
  }
  for (Repeating* each : {&first, &second}) {
    each->stop();
    CAPTURE(each->first_failure());
    CHECK(each->failures() == 0);
    CHECK(each->runs() > 0);
  }
  CHECK(daemon.stop() == app::Exit::Ok);
}

TEST_CASE("SIGHUP takes a new configuration for new sessions, and a broken one changes nothing") {
  RunningDaemon daemon;
  CHECK(daemon.greeting().starts_with("220 first.example.com "));
  test::SmtpClient open_session(daemon.port);
  open_session.reply();
  daemon.write_configuration("second.example.com");
  ::kill(::getpid(), SIGHUP);
  RunningDaemon::wait_until([&] { return daemon.greeting().starts_with("220 second.example.com "); });
  CHECK(open_session.say("NOOP").starts_with("250 "));

  write_file(daemon.folder / "posternd.toml", "hostname = 5\n");
  ::kill(::getpid(), SIGHUP);
  daemon.put_certificate("mx2.example.com");  // its appearance shows that the reload is over
  CHECK(daemon.greeting().starts_with("220 second.example.com "));
  CHECK(daemon.stop() == app::Exit::Ok);
}

TEST_CASE("a session past its dot is answered before the daemon ends; an idle one gets 421") {
  RunningDaemon daemon;
  test::SmtpClient idle(daemon.port), busy(daemon.port);
  idle.reply();
  busy.reply();
  busy.say("EHLO client.example");
  busy.say("MAIL FROM:<a@example.org>");
  CHECK(busy.say("RCPT TO:<b@example.com>").starts_with("250 "));
  CHECK(busy.say("DATA").starts_with("354 "));
  CHECK(busy.say("Subject: x\r\n\r\nbody\r\n.").starts_with("451 "));  // there is no backend
  daemon.terminate();
  CHECK(idle.reply().starts_with("421 "));
  CHECK(idle.reply().empty());
  CHECK(busy.reply().starts_with("421 "));
  CHECK(daemon.stop() == app::Exit::Ok);
}
