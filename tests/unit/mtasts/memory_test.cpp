#include "mtasts/memory.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;
using std::chrono::hours;

namespace {

const WallTime start = WallTime(std::chrono::sys_days(std::chrono::year(2026) / 12 / 1));

DnsName name(std::string_view text) { return *DnsName::parse(text); }

Policy policy(std::vector<std::string> mx, std::chrono::seconds max_age = hours(24), Mode mode = Mode::Enforce) {
  Policy made;
  made.mode = mode;
  made.max_age = max_age;
  for (const auto& text : mx) made.mx.push_back(*MxPattern::parse(text));
  return made;
}

/// One domain's history.
struct History {
  DnsName domain = name("example.com");
  std::string text;
  std::vector<KeptHost> kept;

  void now(WallTime time, const Policy* policy, const std::vector<DnsName>& mx = {}) {
    std::vector<Domain> domains;
    if (policy != nullptr) domains.push_back({domain, mx, false, policy});
    auto made = remember(text, domains, time);
    REQUIRE(made);
    text = made->text;
    kept = made->kept;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> made;
    for (const auto& host : kept) made.push_back(host.name.text());
    return made;
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a policy that goes on keeps nothing, however often it is looked at", "[memory]") {
  History history;
  const auto same = policy({"mx.example.com"});
  history.now(start, &same);
  const std::string text = history.text;
  CHECK(text.find("example.com live 86400 mx.example.com\n") != std::string::npos);
  history.now(start + hours(1), &same);
  CHECK(history.text == text);
  CHECK(history.kept.empty());
}

TEST_CASE("a policy that is removed is kept for its own max_age", "[memory]") {
  History history;
  const auto before = policy({"mx.example.com"}, hours(48));
  history.now(start, &before);
  history.now(start + hours(100), nullptr);
  CHECK(history.names() == Names{"mta-sts.example.com", "mx.example.com"});
  CHECK(history.kept.front().until == start + hours(148));
  history.now(start + hours(147), nullptr);
  CHECK(history.kept.size() == 2);
  history.now(start + hours(148), nullptr);
  CHECK(history.kept.empty());
  CHECK(history.text.empty());
}

TEST_CASE("a changed policy keeps the old hosts, and the longest time counts", "[memory]") {
  History history;
  const auto first = policy({"old.example.com"}, hours(100));
  const auto second = policy({"new.example.com"}, hours(10));
  const auto third = policy({"old.example.com"}, hours(1));
  history.now(start, &first);
  history.now(start, &second);
  CHECK(history.names() == Names{"mta-sts.example.com", "old.example.com"});
  history.now(start + hours(1), &third);
  history.now(start + hours(2), nullptr);
  CHECK(history.names() == Names{"mta-sts.example.com", "old.example.com", "new.example.com"});
  for (const auto& host : history.kept) {
    CHECK(host.until == start + (host.name.text() == "new.example.com" ? hours(11) : hours(100)));
  }
}

TEST_CASE("`none` holds nobody; wildcards are remembered as the MX names that they allowed", "[memory]") {
  History history;
  const auto none = policy({}, hours(24), Mode::None);
  history.now(start, &none);
  CHECK(history.text.empty());
  const auto wildcard = policy({"*.example.net"});
  history.now(start, &wildcard, {name("mx7.example.net"), name("elsewhere.example.org")});
  history.now(start, &none);
  CHECK(history.names() == Names{"mta-sts.example.com", "mx7.example.net"});
}

TEST_CASE("many domains are merged in order", "[memory]") {
  const auto same = policy({"mx.test"});
  const DnsName a = name("a.test"), b = name("b.test"), c = name("c.test");
  const auto first = remember("", std::vector<Domain>{{a, {}, false, &same}, {c, {}, false, &same}}, start);
  REQUIRE(first);
  const auto second = remember(first->text, std::vector<Domain>{{b, {}, false, &same}, {c, {}, false, &same}}, start);
  REQUIRE(second);
  REQUIRE(second->kept.size() == 2);
  CHECK(second->kept[0].domain == a);
  const auto stored = kept_hosts(second->text);
  REQUIRE(stored);
  CHECK(*stored == second->kept);
}

TEST_CASE("a damaged memory is refused with its line", "[memory]") {
  for (const char* text : {"example.com\n", "example.com lives\n", "example.com kept tomorrow mx.test\n",
                           "example.com kept 2026-13-01T00:00:00Z mx.test\n", "# x\n\nexample.com kept 2026-12-01T00:00:00Z a b\n"}) {
    const auto made = remember(text, {}, start);
    REQUIRE_FALSE(made);
    CHECK(made.error().text.starts_with("line "));
    CHECK_FALSE(kept_hosts(text));
  }
}
