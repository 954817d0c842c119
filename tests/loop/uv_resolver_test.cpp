#include "daemon/uv/resolver.h"

#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

#include "daemon/uv/sockaddr.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;
using namespace std::chrono_literals;

namespace {

constexpr int type_a = 1, type_cname = 5, type_aaaa = 28;

struct Record {
  int type;
  unsigned ttl;
  std::string data;
  std::string owner = "\xc0\x0c";  ///< a pointer to the name of the question
};

struct Answer {
  int rcode = 0;
  std::vector<Record> records;
};

std::string address(const char* text) { return std::string(IpAddress::parse(text)->octets()); }

std::string big_endian(unsigned value, int octets) {
  std::string made;
  for (int n = octets - 1; n >= 0; --n) made += static_cast<char>((value >> (8 * n)) & 0xff);
  return made;
}

/// A DNS server for one UDP port of loopback, on the loop of the test (RFC 1035 section 4).
class DnsServer {
 public:
  explicit DnsServer(Loop& loop) : loop_(loop) {
    descriptor_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const KernelAddress address = to_kernel(Endpoint::parse("127.0.0.1:0").value());
    REQUIRE(::bind(descriptor_, address.get(), address.length) == 0);
    uv_poll_init(loop.get(), &poll_, descriptor_);
    poll_.data = this;
    uv_poll_start(&poll_, UV_READABLE, [](uv_poll_t* poll, int, int) { static_cast<DnsServer*>(poll->data)->serve(); });
  }
  ~DnsServer() {
    bool closed = false;
    poll_.data = &closed;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* poll) { *static_cast<bool*>(poll->data) = true; });
    ::close(descriptor_);
    CHECK(turn_until(loop_, [&closed] { return closed; }));
  }
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  Endpoint endpoint() const { return from_kernel(local_address(descriptor_).get()); }

  /// What is known; nothing means that no answer is sent. Everything else does not exist.
  std::function<std::optional<Answer>(const std::string& name, int type)> zone = [](const auto&, int) {
    return Answer{3, {}};
  };
  int queries = 0;

 private:
  void serve() {
    char packet[512];
    KernelAddress from;
    from.length = sizeof from.storage;
    const ssize_t length = ::recvfrom(descriptor_, packet, sizeof packet, 0, from.get(), &from.length);
    if (length < 17) return;
    ++queries;
    const std::string_view query(packet, static_cast<std::size_t>(length));
    std::size_t at = 12;
    std::string name;
    while (query[at] != 0) {
      const auto label = static_cast<std::size_t>(query[at]);
      if (!name.empty()) name += '.';
      name += query.substr(at + 1, label);
      at += label + 1;
    }
    const int type = query[at + 2];
    const auto answer = zone(name, type);
    if (!answer) return;
    std::string reply(query.substr(0, 2));
    reply += big_endian(0x8180u | static_cast<unsigned>(answer->rcode), 2) + big_endian(1, 2) +
             big_endian(static_cast<unsigned>(answer->records.size()), 2) + big_endian(0, 4);
    reply += query.substr(12, at + 5 - 12);
    for (const auto& record : answer->records) {
      reply += record.owner + big_endian(static_cast<unsigned>(record.type), 2) + big_endian(1, 2) +
               big_endian(record.ttl, 4) + big_endian(static_cast<unsigned>(record.data.size()), 2) + record.data;
    }
    ::sendto(descriptor_, reply.data(), reply.size(), 0, from.get(), from.length);
  }

  Loop& loop_;
  int descriptor_;
  uv_poll_t poll_{};
};

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
