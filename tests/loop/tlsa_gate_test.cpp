#include "daemon/app/tlsa_gate.h"

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tests/loop/dns_server.h"
#include "tests/loop/notes.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::app;
using namespace postern::uv::test;

namespace {

std::shared_ptr<const session::RunSettings> with_mx(const char* mx) {
  auto table = std::make_shared<report::MxTable>();
  table->add(*DnsName::parse("example.test"), {*DnsName::parse(mx)});
  auto made = std::make_shared<session::RunSettings>();
  made->mx = std::move(table);
  return made;
}

/// A gate whose DNS knows no name at all.
struct Fixture {
  uv::Loop loop;
  DnsServer server{loop};
  Publisher<session::RunSettings> settings{with_mx("mx.example.test")};
  session::test::Notes notes;
  std::shared_ptr<TlsaGate> gate =
      std::make_shared<TlsaGate>(loop, std::vector<Endpoint>{server.endpoint()}, settings, notes);
  postern::test::TestCa ca;
  ~Fixture() { gate->stop(); }

  std::shared_ptr<const tls::Credential> certificate(std::string name, WallTime not_after) const {
    postern::test::LeafRequest request;
    request.names = {std::move(name)};
    request.not_after = not_after;
    return ca.issue(request).credential();
  }
  std::shared_ptr<const tls::Credential> long_lived(std::string name) const {
    return certificate(std::move(name), uv::wall_time() + std::chrono::hours(24 * 60));
  }
};

}  // namespace

TEST_CASE("only certificates of MX names wait for TLSA records") {
  Fixture f;
  const auto served = f.long_lived("www.example.test");
  CHECK_FALSE(f.gate->ask(*f.long_lived("www.example.test"), *served));
  for (const char* name : {"mx.example.test", "*.example.test"}) {
    const auto why = f.gate->ask(*f.long_lived(name), *served);
    REQUIRE(why);
    CHECK(why->find("_25._tcp.mx.example.test TLSA 3 1 1 ") != std::string::npos);
    CHECK(why->find("have not been looked up yet") != std::string::npos);
  }
}

TEST_CASE("while the servers of the zone cannot be found a certificate is held, and the reason is known") {
  Fixture f;
  const auto served = f.long_lived("mx.example.test");
  const auto renewed = f.long_lived("mx.example.test");
  std::optional<std::string> why;
  CHECK(turn_until(f.loop, [&] {
    // As the loader does it, beside the loop's thread.
    std::thread([&] { why = f.gate->ask(*renewed, *served); }).join();
    return !why || why->find("have not been looked up yet") == std::string::npos;
  }));
  CHECK(why);
  CHECK(f.server.queries > 0);
  CHECK(f.notes.lines.empty());
}

TEST_CASE("a certificate that is served and has ended is replaced all the same, with an alarm") {
  Fixture f;
  const auto served = f.certificate("mx.example.test", uv::wall_time() - std::chrono::hours(1));
  const auto renewed = f.long_lived("mx.example.test");
  CHECK(turn_until(f.loop, [&] { return !f.gate->ask(*renewed, *served); }));
  REQUIRE(f.notes.lines.size() == 1);
  CHECK(f.notes.lines[0].find("mx.example.test is served with its new key although") != std::string::npos);
}

TEST_CASE("a gate that has stopped looks no more, and keeps what it holds") {
  Fixture f;
  const auto served = f.long_lived("mx.example.test");
  const auto renewed = f.long_lived("mx.example.test");
  REQUIRE(f.gate->ask(*renewed, *served));
  f.gate->stop();
  turn_once(f.loop);
  CHECK(f.server.queries == 0);
  CHECK(f.gate->ask(*renewed, *served));
}
