#include "report/sts.h"

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
