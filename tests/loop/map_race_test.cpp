// Maps of certificates are swapped and freed while threads look up names and shake hands: for ThreadSanitizer above all.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/shared_view.h"
#include "certs/chooser.h"
#include "certs/loader.h"
#include "tests/support/catch.h"
#include "tests/support/test_ca.h"
#include "tests/support/tls_peers.h"
#include "tests/unit/certs/scripted_files.h"
#include "tls/context.h"
#include "tls/stream.h"

using namespace postern;

namespace {

constexpr unsigned names = 8;
std::string name_of(unsigned number) { return fmt::format("mx{}.example", number % names); }

/// A worker: its own view of the map, and one handshake after the other with a client that checks name and chain.
class Worker {
 public:
  Worker(const Publisher<certs::Snapshot>& maps, std::shared_ptr<const tls::ServerContext> server,
         std::shared_ptr<const tls::ClientContext> client)
      : view_(maps), server_(std::move(server)), client_(std::move(client)), thread_([this] { work(); }) {}
  ~Worker() { stop(); }
  void stop() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  unsigned done() const { return done_; }
  unsigned failed() const { return failed_; }

 private:
  void work() {
    for (unsigned number = 0; !over_; ++number) {
      const auto name = name_of(number);
      const auto source = std::make_shared<certs::Chooser>(view_.get(), "smtp", "mx0.example");
      const auto server = tls::Stream::server(server_, source);
      const auto client = tls::Stream::client(client_, DnsName::parse(name));
      test::Heard at_client, at_server;
      test::pump(*client, at_client, *server, at_server);
      if (!at_client.established || !at_server.established) ++failed_;
      ++done_;
    }
  }

  View<certs::Snapshot> view_;
  std::shared_ptr<const tls::ServerContext> server_;
  std::shared_ptr<const tls::ClientContext> client_;
  std::atomic<bool> over_{false};
  std::atomic<unsigned> done_{0}, failed_{0};
  std::thread thread_;
};

}  // namespace

TEST_CASE("maps are swapped and freed while others look up and shake hands", "[map_race]") {
  const test::TestCa ca;
  test::ScriptedFiles files;
  const auto renew = [&](unsigned number) {
    const auto name = name_of(number);
    files.put(fmt::format("/c/{}.pem", name), ca.issue({.names = {name}}).combined_pem());
  };
  for (unsigned number = 0; number < names; ++number) renew(number);
  files.put("/roots.pem", ca.root_pem());
  certs::SourceSettings settings;
  settings.directories = {"/c"};
  settings.roots = "/roots.pem";
  certs::Loader loader(files.source());
  auto now = test::test_now();
  Publisher<certs::Snapshot> maps(loader.load(settings, now).snapshot);
  const auto server = tls::ServerContext::make({}, tls::Application::Smtp).value();
  const auto client = tls::ClientContext::make({tls::PeerCheck::Mode::Roots, ca.root_pem(), nullptr}).value();
  Worker first(maps, server, client), second(maps, server, client);

  // As the reloader does it: what a worker may still use is kept, and freed here, never there.
  std::vector<std::shared_ptr<const certs::Snapshot>> retired;
  std::size_t freed = 0;
  constexpr unsigned renewals = 60;
  for (unsigned number = 0; number < renewals; ++number) {
    renew(number);
    if (number % 4 == 0) {  // names come and go
      files.put("/c/passing.pem", ca.issue({.names = {fmt::format("passing{}.example", number)}}).combined_pem());
    }
    const unsigned before = first.done();
    now += std::chrono::seconds(3);
    retired.push_back(maps.publish(loader.load(settings, now).snapshot));
    freed += std::erase_if(retired, [](const auto& map) { return map.use_count() <= 1; });
    while (first.done() == before) std::this_thread::yield();
  }
  first.stop();
  second.stop();
  CHECK(first.failed() + second.failed() == 0);
  CHECK(first.done() >= renewals);
  CHECK(freed > 0);
  CHECK(maps.current()->version() > renewals);
}
