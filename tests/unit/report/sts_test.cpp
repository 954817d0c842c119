#include "report/sts.h"

#include <utility>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

namespace {

DnsName name(const char* text) { return DnsName::parse(text).value(); }

const Served good{.covers_name = true};

}  // namespace

TEST_CASE("what a validating sender makes of a connection") {
  const std::vector mx{name("mx1.example.com"), name("mx2.example.com")};
  const auto verdict = [&](std::optional<DnsName> sni, Served served) {
    return judge(name("example.com"), mx, sni, served);
  };
  CHECK(verdict(name("mx2.example.com"), good) == Sts::Pass);
  CHECK(verdict(std::nullopt, good) == Sts::Pass);
  CHECK(verdict(name("mx2.example.com"), {.covers_name = false}) == Sts::Name);
  CHECK(verdict(std::nullopt, {.covers_name = false}) == Sts::Name);
  CHECK(verdict(name("mx1.example.com"), {true, Served::Time::Expired}) == Sts::Expired);
  CHECK(verdict(name("mx1.example.com"), {true, Served::Time::NotYetValid}) == Sts::NotYetValid);
  CHECK(verdict(name("mx1.example.com"), {true, Served::Time::Valid, Served::Chain::Untrusted}) == Sts::Untrusted);
  // However good the certificate is.
  CHECK(verdict(name("mx.example.org"), good) == Sts::OtherMx);
  CHECK(verdict(name("example.com"), good) == Sts::DomainAsSni);
}

TEST_CASE("where the MX names are not known, the name that is asked for is taken for one") {
  CHECK(judge(name("example.com"), {}, name("anything.example"), good) == Sts::Pass);
  CHECK(judge(name("example.com"), {}, std::nullopt, {.covers_name = false}) == Sts::Name);
}

TEST_CASE("domains that have the same MX names share one list") {
  MxTable table;
  table.add(name("a.example"), {name("mx.example")});
  table.add(name("b.example"), {name("mx.example")});
  table.add(name("c.example"), {});
  CHECK(table.find(name("a.example")).data() == table.find(name("b.example")).data());
  CHECK(table.find(name("a.example")).size() == 1);
  CHECK(table.find(name("c.example")).empty());
  CHECK(table.all().size() == 2);
}

TEST_CASE("a table knows the MX names of all domains") {
  MxTable table;
  table.add(name("a.example"), {name("mx1.example"), name("mx2.example")});
  table.add(name("b.example"), {name("mx3.example")});
  table.add(name("b.example"), {name("mx4.example")});
  for (const char* host : {"mx1.example", "mx2.example", "mx3.example"}) CHECK(table.has_host(name(host)));
  CHECK_FALSE(table.has_host(name("mx4.example")));
  CHECK_FALSE(table.has_host(name("a.example")));
  const MxTable copy = std::exchange(table, {});
  CHECK(copy.has_host(name("mx2.example")));
}
