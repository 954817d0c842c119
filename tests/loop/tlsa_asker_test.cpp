#include "daemon/app/tlsa_asker.h"

#include <optional>
#include <string>
#include <vector>

#include "tests/loop/dns_server.h"
#include "tests/loop/uv_support.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::app;
using namespace postern::uv::test;

namespace {

constexpr int type_ns = 2;

struct Fixture {
  uv::Loop loop;
  DnsServer server{loop};
  std::vector<std::string> asked_for_servers;  ///< the names that were asked for NS, in order
  std::optional<TlsaAsker> asker;

  Fixture() {
    asker.emplace(loop, std::vector<Endpoint>{server.endpoint()});
    server.zone = [this](const std::string& name, int type) -> std::optional<Answer> {
      if (type == type_ns) asked_for_servers.push_back(name);
      return answer(name, type);
    };
  }
  std::function<std::optional<Answer>(const std::string& name, int type)> answer = [](const auto&, int) {
    return Answer{3, {}};
  };

  std::vector<TlsaAsker::Said> ask(const char* mx) {
    std::optional<std::vector<TlsaAsker::Said>> said;
    asker->ask(*DnsName::parse(mx), [&said](std::vector<TlsaAsker::Said> all) { said = std::move(all); });
    CHECK_FALSE(said);
    REQUIRE(turn_until(loop, [&said] { return said.has_value(); }));
    return *said;
  }
};

}  // namespace

TEST_CASE("the servers are those of the nearest zone above, and each of their addresses is asked") {
  Fixture f;
  f.answer = [](const std::string& name, int type) -> std::optional<Answer> {
    if (name == "zone.test" && type == type_ns) {
      return Answer{0, {{type_ns, 60, wire_name("ns1.zone.test")}, {type_ns, 60, wire_name("ns2.zone.test")}}};
    }
    // Nobody answers DNS there.
    if (name == "ns1.zone.test" && type == type_a) {
      return Answer{0, {{type_a, 60, address("127.0.0.251")}, {type_a, 60, address("127.0.0.252")}}};
    }
    return Answer{name == "sub.zone.test" ? 3 : 0, {}};
  };
  const auto said = f.ask("mx.sub.zone.test");
  CHECK(f.asked_for_servers == std::vector<std::string>{"mx.sub.zone.test", "sub.zone.test", "zone.test"});
  REQUIRE(said.size() == 3);
  int mute = 0;
  for (const auto& each : said) {
    CHECK_FALSE(each.answer);
    if (each.server == "ns2.zone.test") {
      CHECK(each.address.empty());
    } else {
      CHECK(each.server == "ns1.zone.test");
      CHECK((each.address == "127.0.0.251" || each.address == "127.0.0.252"));
      ++mute;
    }
  }
  CHECK(mute == 2);
}

TEST_CASE("where no zone is found, nobody says anything") {
  Fixture f;
  CHECK(f.ask("mx.nowhere.test").empty());
  CHECK(f.asked_for_servers == std::vector<std::string>{"mx.nowhere.test", "nowhere.test", "test"});
}

TEST_CASE("what is under way ends with the asker, also within a callback") {
  Fixture f;
  bool called = false;
  f.server.zone = [](const std::string&, int) { return std::nullopt; };
  f.asker->ask(*DnsName::parse("mx.one.test"), [&called](const auto&) { called = true; });
  REQUIRE(turn_until(f.loop, [&f] { return f.server.queries > 0; }));
  f.server.zone = [](const std::string&, int) { return Answer{3, {}}; };
  bool ended = false;
  f.asker->ask(*DnsName::parse("test"), [&](const auto&) {
    f.asker.reset();
    ended = true;
  });
  REQUIRE(turn_until(f.loop, [&ended] { return ended; }));
  CHECK_FALSE(called);
}
