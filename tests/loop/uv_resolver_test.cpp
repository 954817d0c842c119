#include "daemon/uv/resolver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "daemon/uv/sockaddr.h"
#include "tests/loop/dns_server.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  Loop loop;
  DnsServer server{loop};
  std::unique_ptr<Resolver> resolver = std::make_unique<Resolver>(
      loop, Resolver::Options{.servers = {server.endpoint()}, .timeout = 10s, .tries = 2});

  Result<Resolved> resolve(const std::string& name) {
    std::optional<Result<Resolved>> result;
    resolver->addresses(*DnsName::parse(name), [&](Result<Resolved> got) { result = std::move(got); });
    CHECK_FALSE(result);  // never within the call
    if (!turn_until(loop, [&] { return result.has_value(); })) return fail("hung");
    return *result;
  }
};

Result<std::string> ask(Fixture& f, const std::string& name, std::uint16_t type) {
  std::optional<Result<std::string>> result;
  f.resolver->query(name, type, [&](Result<std::string> got) { result = std::move(got); });
  CHECK_FALSE(result);
  if (!turn_until(f.loop, [&] { return result.has_value(); })) return fail("hung");
  return *result;
}

std::vector<IpAddress> sorted(std::vector<IpAddress> addresses) {
  std::sort(addresses.begin(), addresses.end());
  return addresses;
}

}  // namespace

TEST_CASE("a name is resolved to its A and AAAA records, with the shorter of their lives") {
  Fixture f;
  f.server.zone = [](const std::string& name, int type) -> std::optional<Answer> {
    if (name != "store.test") return Answer{3, {}};
    if (type == type_a) return Answer{0, {{type_a, 300, address("192.0.2.1")}, {type_a, 300, address("192.0.2.2")}}};
    return Answer{0, {{type_aaaa, 120, address("2001:db8::1")}}};
  };
  const auto got = f.resolve("store.test");
  REQUIRE(got);
  CHECK(sorted(got->addresses) == sorted({*IpAddress::parse("192.0.2.1"), *IpAddress::parse("192.0.2.2"),
                                          *IpAddress::parse("2001:db8::1")}));
  CHECK(got->ttl == 120s);
}

TEST_CASE("an alias is followed, and its life counts") {
  Fixture f;
  const std::string target = "\x04real\x04test" + std::string(1, '\0');
  f.server.zone = [&](const std::string& name, int type) -> std::optional<Answer> {
    if (name != "alias.test") return Answer{3, {}};
    if (type == type_aaaa) return Answer{0, {{type_cname, 30, target}}};
    return Answer{0, {{type_cname, 30, target}, {type_a, 300, address("192.0.2.7"), target}}};
  };
  const auto got = f.resolve("alias.test");
  REQUIRE(got);
  CHECK(got->addresses == std::vector{*IpAddress::parse("192.0.2.7")});
  CHECK(got->ttl == 30s);
}

TEST_CASE("names without addresses say whether they exist") {
  Fixture f;
  const auto missing = f.resolve("missing.test");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().text == "missing.test: no such host name (NXDOMAIN)");

  f.server.zone = [](const auto&, int) { return Answer{0, {}}; };
  const auto empty = f.resolve("empty.test");
  REQUIRE_FALSE(empty);
  CHECK(empty.error().text == "empty.test: the name has no address (neither A nor AAAA)");
}

TEST_CASE("a silent server is asked again, then given up") {
  Fixture f;
  f.server.zone = [](const auto&, int) { return std::nullopt; };
  f.resolver = std::make_unique<Resolver>(
      f.loop, Resolver::Options{.servers = {f.server.endpoint()}, .timeout = 5ms, .tries = 3});
  const auto got = f.resolve("silent.test");
  REQUIRE_FALSE(got);
  CHECK(got.error().text == "silent.test: no DNS server answered in time");
  CHECK(f.server.queries >= 6);  // A and AAAA, three times each
}

TEST_CASE("the next server is asked when the first is not there") {
  Loop loop;
  Endpoint nobody;
  {
    DnsServer gone(loop);
    nobody = gone.endpoint();
  }
  Fixture f;
  f.server.zone = [](const auto&, int type) {
    return type == type_a ? Answer{0, {{type_a, 60, address("192.0.2.9")}}} : Answer{0, {}};
  };
  f.resolver = std::make_unique<Resolver>(
      f.loop, Resolver::Options{.servers = {nobody, f.server.endpoint()}, .timeout = 10s, .tries = 2});
  const auto got = f.resolve("store.test");
  REQUIRE(got);
  CHECK(got->addresses == std::vector{*IpAddress::parse("192.0.2.9")});

  f.resolver = std::make_unique<Resolver>(f.loop, Resolver::Options{.servers = {nobody}, .timeout = 10s, .tries = 2});
  const auto none = f.resolve("store.test");
  REQUIRE_FALSE(none);
  CHECK(none.error().text == "store.test: no DNS server could be reached");
}

TEST_CASE("localhost and the names of /etc/hosts need no server") {
  Fixture f;
  f.server.zone = [](const auto&, int) { return std::nullopt; };
  for (const std::string name : {"localhost", "lmtp.localhost"}) {
    const auto got = f.resolve(name);
    REQUIRE(got);
    CHECK(got->addresses == std::vector{*IpAddress::parse("127.0.0.1"), *IpAddress::parse("::1")});
  }
  std::ifstream hosts("/etc/hosts");
  for (std::string line; std::getline(hosts, line);) {
    std::istringstream fields(line.substr(0, line.find('#')));
    std::string text, name;
    if (!(fields >> text >> name) || name.find("localhost") != std::string::npos) continue;
    const auto listed = IpAddress::parse(text);
    if (!listed || !DnsName::parse(name)) continue;
    INFO(line);
    const auto got = f.resolve(name);
    REQUIRE(got);
    CHECK(std::find(got->addresses.begin(), got->addresses.end(), *listed) != got->addresses.end());
  }
  CHECK(f.server.queries == 0);
}

TEST_CASE("a resolver that is destroyed drops its open queries, and the loop ends") {
  Fixture f;
  f.server.zone = [](const auto&, int) { return std::nullopt; };
  for (const std::string name : {"a.test", "b.test", "localhost"}) {
    f.resolver->addresses(*DnsName::parse(name), [](const Result<Resolved>&) { FAIL_CHECK("was dropped"); });
  }
  f.resolver.reset();
  bool over = false;
  Timer later(f.loop, [&] { over = true; });
  later.start_at(f.loop.now() + 5ms);
  CHECK(turn_until(f.loop, [&] { return over; }));

  f.resolver = std::make_unique<Resolver>(
      f.loop, Resolver::Options{.servers = {f.server.endpoint()}, .timeout = 10s, .tries = 2});
  f.resolver->addresses(*DnsName::parse("c.test"), [](const Result<Resolved>&) { FAIL_CHECK("was dropped"); });
  const int before = f.server.queries;
  CHECK(turn_until(f.loop, [&] { return f.server.queries > before; }));
  f.resolver.reset();
}

TEST_CASE("a resolver may be destroyed in a callback, with other answers waiting") {
  Fixture f;
  int told = 0;
  for (int n = 0; n < 3; ++n) {
    f.resolver->addresses(*DnsName::parse("localhost"), [&](const Result<Resolved>&) {
      ++told;
      f.resolver.reset();
    });
  }
  CHECK(turn_until(f.loop, [&] { return told > 0; }));
  CHECK(told == 1);
}

TEST_CASE("the names that reverse DNS gives an address") {
  Fixture f;
  f.resolver = std::make_unique<Resolver>(
      f.loop, Resolver::Options{.servers = {f.server.endpoint()}, .timeout = 10s, .tries = 2, .sources = Resolver::Options::Sources::Dns});
  const auto names = [&f](const char* address) {
    std::optional<tl::expected<std::vector<DnsName>, Resolver::NoName>> result;
    f.resolver->names(*IpAddress::parse(address), [&](auto got) { result = std::move(got); });
    CHECK_FALSE(result);  // never within the call
    REQUIRE(turn_until(f.loop, [&] { return result.has_value(); }));
    std::string text;
    if (!*result) return std::string(result->error() == Resolver::NoName::None ? "none" : "not now");
    for (const auto& name : **result) text += name.text() + " ";
    return text;
  };
  std::string asked;
  std::optional<Answer> answer;
  f.server.zone = [&](const std::string& name, int type) {
    asked = name + (type == type_ptr ? " PTR" : " something else");
    return answer;
  };
  answer = Answer{0, {{type_ptr, 60, wire_name("MX.example.org")}}};
  CHECK(names("192.0.2.1") == "mx.example.org ");
  CHECK(asked == "1.2.0.192.in-addr.arpa PTR");
  // Whoever owns the address may say anything: what is no host name does not get through.
  for (const char* bad : {"a b.example", "x\r\nRCPT TO:<a@b>.example", "192.0.2.1", "*.example", "a\\.example", "[x]"}) {
    INFO(bad);
    answer = Answer{0, {{type_ptr, 60, wire_name(bad)}}};
    CHECK(names("192.0.2.1") == "none");
  }
  answer = Answer{0, {}};
  for (char c = 'a'; c <= 'h'; ++c) answer->records.push_back({type_ptr, 60, wire_name(std::string(1, c) + ".example")});
  CHECK(names("2001:db8::1") == "a.example b.example c.example d.example e.example ");
  CHECK(asked == "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR");
  answer = Answer{3, {}};
  CHECK(names("192.0.2.1") == "none");
  answer = Answer{2, {}};
  CHECK(names("192.0.2.1") == "not now");
}

TEST_CASE("whether a name has an address") {
  Fixture f;
  f.resolver = std::make_unique<Resolver>(
      f.loop, Resolver::Options{.servers = {f.server.endpoint()}, .timeout = 10s, .tries = 2, .sources = Resolver::Options::Sources::Dns});
  f.server.zone = [](const std::string& name, int type) {
    if (name == "broken.example") return Answer{2, {}};
    if (name != "mx.example") return Answer{3, {}};
    if (type != type_a) return Answer{0, {}};
    return Answer{0, {{type_a, 70, address("192.0.2.1")}, {type_a, 70, address("192.0.2.2")}}};
  };
  const auto confirm = [&f](const char* name, const char* address) {
    std::optional<tl::expected<Duration, Resolver::NoName>> result;
    f.resolver->confirm(*DnsName::parse(name), *IpAddress::parse(address), [&](auto got) { result = got; });
    REQUIRE(turn_until(f.loop, [&] { return result.has_value(); }));
    return *result;
  };
  CHECK(confirm("mx.example", "192.0.2.2") == 70s);
  CHECK(confirm("mx.example", "192.0.2.3") == tl::unexpected(Resolver::NoName::None));
  CHECK(confirm("mx.example", "2001:db8::1") == tl::unexpected(Resolver::NoName::None));
  CHECK(confirm("nothing.example", "192.0.2.1") == tl::unexpected(Resolver::NoName::None));
  CHECK(confirm("broken.example", "192.0.2.1") == tl::unexpected(Resolver::NoName::NotNow));
}

TEST_CASE("any question is answered by the message as it is, and asked with EDNS and for validated data", "[query]") {
  Fixture f;
  const std::string tlsa = "\x03\x01\x01" + std::string(32, 'h');
  f.server.zone = [&](const std::string& name, int type) -> std::optional<Answer> {
    if (name != "_25._tcp.mx.test") return Answer{3, {}};
    CHECK(type == type_tlsa);
    return Answer{0, {{type_tlsa, 3600, tlsa}}};
  };
  const auto got = ask(f, "_25._tcp.mx.test", type_tlsa);
  REQUIRE(got);
  CHECK(got->find(tlsa) != std::string::npos);
  constexpr char ad = 0x20;
  CHECK((f.server.last_query[3] & ad) != 0);          // RFC 6840 section 5.7
  CHECK(f.server.last_query.substr(10, 2) == big_endian(1, 2));  // one additional record: OPT
}

TEST_CASE("that a name does not exist is an answer, too", "[query]") {
  Fixture f;
  const auto got = ask(f, "missing.test", type_tlsa);
  REQUIRE(got);
  REQUIRE(got->size() > 3);
  CHECK(((*got)[3] & 0x0f) == 3);
}

TEST_CASE("a question that nobody answers fails in words, and so does a name that is none", "[query]") {
  Fixture f;
  f.server.zone = [](const auto&, int) { return std::nullopt; };
  f.resolver = std::make_unique<Resolver>(
      f.loop, Resolver::Options{.servers = {f.server.endpoint()}, .timeout = 5ms, .tries = 2});
  const auto silent = ask(f, "silent.test", type_tlsa);
  REQUIRE_FALSE(silent);
  CHECK(silent.error().text == "no DNS server answered in time");
  CHECK(f.server.queries >= 2);
  CHECK_FALSE(ask(f, std::string(70, 'a') + ".test", type_tlsa));
}

TEST_CASE("open questions are dropped with their resolver", "[query]") {
  Fixture f;
  f.server.zone = [](const auto&, int) { return std::nullopt; };
  f.resolver->query("silent.test", type_tlsa, [](const Result<std::string>&) { FAIL_CHECK("was dropped"); });
  REQUIRE(turn_until(f.loop, [&] { return f.server.queries > 0; }));
  f.resolver.reset();
  bool over = false;
  Timer later(f.loop, [&] { over = true; });
  later.start_at(f.loop.now() + 5ms);
  CHECK(turn_until(f.loop, [&] { return over; }));
}
