#include "delivery/plan.h"

#include "smtp/replies.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::delivery;
using postern::smtp::ForwardPath;
using postern::smtp::Mailbox;

namespace {

BackendSettings backend(std::string name) {
  BackendSettings made;
  made.name = std::move(name);
  return made;
}

DomainSettings domain(std::string_view name, std::string backend) {
  if (name == "*") return {std::nullopt, std::move(backend), {}};
  return {DnsName::from_utf8(name), std::move(backend), {}};
}

const Mailbox postmaster{"root", "iecc.com"};

RouteTable table_without_catch_all() {
  return RouteTable(
      {backend("first"), backend("second")},
      {domain("iecc.com", "first"), domain("example.org", "second"), domain("m\xc3\xbcller.example", "second")},
      postmaster);
}

RouteTable table_with_catch_all() {
  return RouteTable({backend("first"), backend("rest")}, {domain("iecc.com", "first"), domain("*", "rest")},
                    postmaster);
}

ForwardPath path(std::string local_part, std::string domain) { return {{std::move(local_part), std::move(domain)}}; }

}  // namespace

TEST_CASE("a recipient goes to the backend of its domain") {
  const auto table = table_without_catch_all();
  const auto route = table.route(path("bob", "Example.ORG"));
  REQUIRE(route);
  CHECK(route->backend->name == "second");
  CHECK(route->to == path("bob", "Example.ORG"));
  CHECK_FALSE(route->fallback);
}

TEST_CASE("a domain with the null MX takes no mail, not even for its postmaster, and stands before the catch-all") {
  DomainSettings silent = domain("silent.example", "");
  silent.null_mx = true;
  const RouteTable table({backend("rest")}, {silent, domain("*", "rest")}, postmaster);
  for (const char* const local_part : {"bob", "postmaster", "abuse"}) {
    CHECK(table.route(path(local_part, "Silent.Example")).error() == smtp::replies::domain_takes_no_mail);
  }
  CHECK(table.route(path("bob", "sub.silent.example")));
}

TEST_CASE("U-labels and A-labels are one domain") {
  const auto table = table_without_catch_all();
  CHECK(table.route(path("bob", "xn--mller-kva.example")));
  CHECK(table.route(path("bob", "M\xc3\x9cLLER.example")));
}

TEST_CASE("never an open relay") {
  const auto table = table_without_catch_all();
  CHECK(table.route(path("bob", "elsewhere.example")).error() == smtp::replies::relay_denied);
  CHECK(table.route(path("bob", "sub.iecc.com")).error() == smtp::replies::relay_denied);
  CHECK(table.route(path("bob", "com")).error() == smtp::replies::relay_denied);
  CHECK(table.route(path("bob", "[127.0.0.1]")).error() == smtp::replies::relay_denied);
  CHECK(table.route(path("bob", "127.0.0.1")).error() == smtp::replies::bad_domain);
  // Not even with a catch-all: a literal names a host, not a domain that is ours to relay for.
  CHECK(table_with_catch_all().route(path("bob", "[IPv6:::1]")).error() == smtp::replies::relay_denied);
}

TEST_CASE("the catch-all takes the rest") {
  const auto table = table_with_catch_all();
  CHECK(table.route(path("bob", "iecc.com"))->backend->name == "first");
  CHECK(table.route(path("bob", "elsewhere.example"))->backend->name == "rest");
}

TEST_CASE("a domain whose backend does not exist is not ours") {
  const RouteTable table({backend("first")}, {domain("iecc.com", "second"), domain("*", "third")}, std::nullopt);
  CHECK(table.route(path("bob", "iecc.com")).error() == smtp::replies::relay_denied);
}

TEST_CASE("<postmaster> is always taken") {
  const ForwardPath bare = path("PostMaster", "");
  SECTION("by the configured address") {
    const auto table = table_without_catch_all();
    const auto route = table.route(bare);
    REQUIRE(route);
    CHECK(route->to == ForwardPath{postmaster});
    CHECK(route->backend->name == "first");
    CHECK_FALSE(route->fallback);
  }
  SECTION("as it stands, when none is configured") {
    const RouteTable table({backend("first"), backend("rest")}, {domain("iecc.com", "first"), domain("*", "rest")}, {});
    CHECK(table.route(bare)->to == bare);
    CHECK(table.route(bare)->backend->name == "rest");
    const RouteTable without_catch_all({backend("first")}, {domain("iecc.com", "first")}, {});
    CHECK(without_catch_all.route(bare)->backend->name == "first");
  }
  SECTION("as it stands, when the configured address is not ours") {
    const RouteTable table({backend("first")}, {domain("iecc.com", "first")}, Mailbox{"root", "elsewhere.example"});
    CHECK(table.route(bare)->to == bare);
  }
  SECTION("unless there is nobody to take it") {
    CHECK(RouteTable({}, {}, postmaster).route(bare).error() == smtp::replies::relay_denied);
  }
}

TEST_CASE("postmaster@ and abuse@ of a hosted domain fall back to the configured address") {
  const auto* name = GENERATE("postmaster", "ABUSE");
  const auto table = table_without_catch_all();
  const auto route = table.route(path(name, "example.org"));
  REQUIRE(route);
  CHECK(route->to == path(name, "example.org"));
  CHECK(route->backend->name == "second");
  CHECK(route->fallback == ForwardPath{postmaster});
  REQUIRE(route->fallback_backend);
  CHECK(route->fallback_backend->name == "first");
}

TEST_CASE("who does not fall back") {
  CHECK_FALSE(table_without_catch_all().route(path("bob", "example.org"))->fallback);
  // A domain that only passes through has its own postmaster.
  CHECK_FALSE(table_with_catch_all().route(path("postmaster", "elsewhere.example"))->fallback);
  // The configured address itself, or none configured.
  const std::vector<DomainSettings> domains{domain("iecc.com", "first")};
  CHECK_FALSE(RouteTable({backend("first")}, domains, Mailbox{"postmaster", "iecc.com"})
                  .route(path("postmaster", "iecc.com"))
                  ->fallback);
  CHECK_FALSE(RouteTable({backend("first")}, domains, std::nullopt).route(path("abuse", "iecc.com"))->fallback);
}

TEST_CASE("local parts that MTAs have read as more than a name do not reach one") {
  BackendSettings mta;
  mta.name = "mta";
  mta.local_parts = LocalParts::Safe;
  BackendSettings store;
  store.name = "store";
  const RouteTable table({mta, store}, {{DnsName::parse("example.com"), "mta", {}}, {DnsName::parse("example.net"), "store", {}}},
                         {});
  for (const auto* local : {"user%other.example", "other.example!user", "a@b", "/etc/passwd", "|sh", "-oQ/tmp"}) {
    INFO(local);
    const auto refused = table.route({smtp::Mailbox{local, "example.com"}});
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == smtp::replies::mailbox_syntax_refused);
    CHECK(table.route({smtp::Mailbox{local, "example.net"}}));
  }
  CHECK(table.route({smtp::Mailbox{"first.last-name+x=y", "example.com"}}));
}

TEST_CASE("a session reaches the backends of the domains, or the one that has it whole") {
  const auto names = [](const std::vector<const BackendSettings*>& backends) {
    std::vector<std::string> made;
    for (const auto* each : backends) made.push_back(each->name);
    return made;
  };
  const RouteTable table({backend("unused"), backend("first"), backend("second")},
                         {domain("iecc.com", "second"), domain("example.org", "first"), domain("example.net", "first")},
                         postmaster);
  CHECK(names(table.reachable(nullptr)) == std::vector<std::string>{"first", "second"});
  CHECK(names(table.reachable(table.find("unused"))) == std::vector<std::string>{"unused"});
}
