#include "daemon/session/host_addresses.h"

#include <optional>
#include <string>
#include <vector>

#include "tests/loop/dns_server.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace postern::uv::test;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  uv::Loop loop;
  DnsServer server{loop};
  uv::Resolver resolver{loop, {.servers = {server.endpoint()}, .timeout = 10s, .tries = 1}};
  int changes = 0;
  HostAddresses host{loop, resolver, *DnsName::parse("store.test"), 400ms, [this] { ++changes; }};

  void has(const char* one, unsigned ttl = 3600) {
    server.zone = [one, ttl](const std::string&, int type) {
      return type == type_a ? Answer{0, {{type_a, ttl, address(one)}}} : Answer{0, {}};
    };
  }
  void is_silent() {
    server.zone = [](const std::string&, int) { return std::nullopt; };
  }

  std::shared_ptr<std::optional<HostAddresses::Found>> start() {
    auto found = std::make_shared<std::optional<HostAddresses::Found>>();
    host.find([found](const HostAddresses::Found& got) {
      CHECK_FALSE(found->has_value());
      *found = got;
    });
    return found;
  }
  HostAddresses::Found find() {
    const auto found = start();
    REQUIRE(turn_until(loop, [&] { return found->has_value(); }));
    return **found;
  }
};

std::vector<IpAddress> only(const char* text) { return {*IpAddress::parse(text)}; }

}  // namespace

TEST_CASE("addresses are kept for their TTL, and one question serves all who ask at once") {
  Fixture f;
  f.has("192.0.2.1");
  const auto first = f.start();
  const auto second = f.start();
  REQUIRE(turn_until(f.loop, [&] { return first->has_value() && second->has_value(); }));
  CHECK((*first)->value() == only("192.0.2.1"));
  CHECK((*second)->value() == only("192.0.2.1"));
  CHECK(f.server.queries == 2);  // A and AAAA
  CHECK(f.changes == 1);
  f.has("192.0.2.2");
  f.host.refresh();
  CHECK(f.start()->has_value());  // within the call
  CHECK(f.server.queries == 2);
  CHECK(f.host.has(*IpAddress::parse("192.0.2.1")));
}

TEST_CASE("what did not work is asked for again, whatever its TTL") {
  Fixture f;
  f.has("192.0.2.1");
  REQUIRE(f.find());
  f.has("192.0.2.2");
  f.host.doubt();
  CHECK(f.find().value() == only("192.0.2.2"));
  CHECK_FALSE(f.host.has(*IpAddress::parse("192.0.2.1")));
  CHECK(f.changes == 2);
}

TEST_CASE("after its TTL a name is asked about even if nobody waits") {
  Fixture f;
  f.has("192.0.2.1", 0);
  REQUIRE(f.find());
  f.has("192.0.2.2");
  CHECK(turn_until(f.loop, [&f] {
    f.host.refresh();
    return f.host.has(*IpAddress::parse("192.0.2.2"));
  }));
  CHECK(f.changes == 2);
}

TEST_CASE("while DNS is silent, or says that there is no such name, what was known last serves") {
  Fixture f;
  f.has("192.0.2.1");
  REQUIRE(f.find());
  f.is_silent();
  f.host.doubt();
  const auto late = f.start();
  CHECK_FALSE(late->has_value());  // DNS has its chance
  REQUIRE(turn_until(f.loop, [&] { return late->has_value(); }));
  CHECK((*late)->value() == only("192.0.2.1"));
  CHECK(f.start()->has_value());  // nobody else waits for the same question
  CHECK(f.changes == 1);

  Fixture gone;
  gone.has("192.0.2.1");
  REQUIRE(gone.find());
  gone.server.zone = [](const std::string&, int) { return Answer{3, {}}; };
  gone.host.doubt();
  CHECK(gone.find().value() == only("192.0.2.1"));
  CHECK(gone.changes == 1);
}

TEST_CASE("a name that never had an address is asked about each time") {
  Fixture f;
  const auto none = f.find();
  REQUIRE_FALSE(none);
  CHECK(none.error().text.find("NXDOMAIN") != std::string::npos);
  f.has("192.0.2.1");
  CHECK(f.find().value() == only("192.0.2.1"));
}

TEST_CASE("an answer that comes when nobody is there any more is dropped") {
  Fixture f;
  f.has("192.0.2.1");
  bool called = false;
  std::optional<HostAddresses> host(std::in_place, f.loop, f.resolver, *DnsName::parse("store.test"), 10s, [] {});
  host->find([&called](const HostAddresses::Found&) { called = true; });
  host.reset();
  REQUIRE(f.find());
  CHECK_FALSE(called);
}
