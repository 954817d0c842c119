#include "daemon/session/reverse_dns.h"

#include <map>

#include "tests/loop/dns_server.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::session;
using namespace postern::uv::test;
using namespace std::chrono_literals;
using Standing = ClientDnsName::Standing;

namespace {

struct World {
  explicit World(ReverseDns::Limits limits = {}) : reverse(loop, resolver, limits) {
    server.zone = [this](const std::string& name, int type) -> std::optional<Answer> {
      if (silent) return std::nullopt;
      const auto found = zone.find({name, type});
      return found == zone.end() ? Answer{3, {}} : found->second;
    };
  }

  void add(const std::string& reversed, const std::string& name, const char* has) {
    zone[{reversed + ".in-addr.arpa", type_ptr}].records.push_back({type_ptr, 60, wire_name(name)});
    if (has != nullptr) zone[{name, type_a}] = Answer{0, {{type_a, 600, address(has)}}};
  }

  ClientDnsName look_up(const char* of, Duration within = 60s) {
    std::optional<ClientDnsName> result;
    REQUIRE(reverse.look_up(*IpAddress::parse(of), within, [&](const ClientDnsName& name) {
      CHECK_FALSE(result);
      result = name;
    }));
    CHECK_FALSE(result);  // never within the call
    REQUIRE(turn_until(loop, [&] { return result.has_value(); }));
    return *result;
  }

  std::map<std::pair<std::string, int>, Answer> zone;
  bool silent = false;
  uv::Loop loop;
  DnsServer server{loop};
  uv::Resolver resolver{loop, {.servers = {server.endpoint()},
                               .timeout = 60s,
                               .tries = 1,
                               .sources = uv::Resolver::Options::Sources::Dns}};
  ReverseDns reverse;
};

}  // namespace

TEST_CASE("a name counts when it has the address", "[reverse_dns]") {
  World world;
  world.add("1.2.0.192", "mx.example", "192.0.2.1");
  world.add("2.2.0.192", "liar.example", "198.51.100.1");
  const auto confirmed = world.look_up("192.0.2.1");
  CHECK(confirmed.standing == Standing::Confirmed);
  CHECK(confirmed.name == DnsName::parse("mx.example"));
  const auto lie = world.look_up("192.0.2.2");
  CHECK(lie.standing == Standing::None);
  CHECK_FALSE(lie.name);
  CHECK(lie.claimed == DnsName::parse("liar.example"));
  CHECK(world.look_up("192.0.2.3").standing == Standing::None);
}

TEST_CASE("the first of several names that has the address counts", "[reverse_dns]") {
  World world;
  world.add("1.2.0.192", "liar.example", "198.51.100.1");
  world.add("1.2.0.192", "mx.example", "192.0.2.1");
  const auto found = world.look_up("192.0.2.1");
  CHECK(found.name == DnsName::parse("mx.example"));
  CHECK(found.claimed == DnsName::parse("liar.example"));
}

TEST_CASE("a failure of DNS is told from a name that is not there", "[reverse_dns]") {
  World world;
  world.add("1.2.0.192", "mx.example", nullptr);
  world.zone[{"mx.example", type_a}] = Answer{2, {}};
  world.zone[{"2.2.0.192.in-addr.arpa", type_ptr}] = Answer{2, {}};
  CHECK(world.look_up("192.0.2.1").standing == Standing::NotNow);
  CHECK(world.look_up("192.0.2.2").standing == Standing::NotNow);
}

TEST_CASE("answers are remembered, and only so many", "[reverse_dns]") {
  World world({.entries_max = 1});
  world.add("1.2.0.192", "mx.example", "192.0.2.1");
  CHECK_FALSE(world.reverse.known(*IpAddress::parse("192.0.2.1")));
  (void)world.look_up("192.0.2.1");
  REQUIRE(world.reverse.known(*IpAddress::parse("192.0.2.1")));
  CHECK(world.reverse.known(*IpAddress::parse("192.0.2.1"))->name == DnsName::parse("mx.example"));
  (void)world.look_up("192.0.2.2");
  CHECK(world.reverse.known(*IpAddress::parse("192.0.2.2")));
  CHECK_FALSE(world.reverse.known(*IpAddress::parse("192.0.2.1")));
}

TEST_CASE("what is remembered ends", "[reverse_dns]") {
  World world({.kept_min = 0s, .kept_max = 0s});
  world.add("1.2.0.192", "mx.example", "192.0.2.1");
  (void)world.look_up("192.0.2.1");
  CHECK_FALSE(world.reverse.known(*IpAddress::parse("192.0.2.1")));
}

TEST_CASE("clients of one address wait for one question, and each no longer than it wants to", "[reverse_dns]") {
  World world({.open_max = 1});
  world.silent = true;
  std::map<int, ClientDnsName> told;
  const auto tell = [&told](int who) { return [&told, who](const ClientDnsName& name) { told[who] = name; }; };
  const auto client = *IpAddress::parse("192.0.2.1");
  REQUIRE(world.reverse.look_up(client, 10ms, tell(1)));
  REQUIRE(world.reverse.look_up(client, 60s, tell(2)));
  // There is room for no more questions.
  CHECK_FALSE(world.reverse.look_up(*IpAddress::parse("192.0.2.2"), 60s, tell(3)));
  REQUIRE(turn_until(world.loop, [&] { return told.contains(1); }));
  CHECK(told[1].standing == Standing::NotNow);
  CHECK_FALSE(told.contains(2));
  CHECK(world.server.queries == 1);
}

TEST_CASE("loopback has the name it always has", "[reverse_dns]") {
  World world;
  CHECK(world.reverse.known(*IpAddress::parse("127.0.0.1"))->name == DnsName::parse("localhost"));
  CHECK(world.reverse.known(*IpAddress::parse("::1"))->name == DnsName::parse("localhost"));
  CHECK_FALSE(world.reverse.known(*IpAddress::parse("127.0.0.2")));
}
