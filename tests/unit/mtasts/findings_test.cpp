#include "mtasts/findings.h"

#include <fmt/format.h>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

DnsName name(std::string_view text) { return *DnsName::parse(text); }
Findings::Words words() { return {"wrong", "mend it"}; }

}  // namespace

TEST_CASE("one fault of one subject counts once, for all its domains, at its gravest", "[findings]") {
  Findings findings;
  for (const char* domain : {"a.test", "a.test", "b.test", "c.test", "d.test"}) {
    const auto parsed = name(domain);
    findings.add("x", parsed.text() == "c.test" ? Severity::Error : Severity::Warning, "mx.test", &parsed, words);
  }
  findings.add("x", Severity::Note, "other.test", nullptr, words);
  const auto sorted = findings.sorted();
  REQUIRE(sorted.size() == 2);
  CHECK(sorted[0]->severity == Severity::Error);
  CHECK(sorted[0]->domains == 4);
  CHECK(sorted[0]->examples == std::vector<std::string>{"a.test", "b.test", "c.test"});
  CHECK(sorted[1]->domains == 0);
  CHECK(findings.has_errors());
}

TEST_CASE("what is over the limit is counted, and an error among it still is one", "[findings]") {
  Findings findings;
  for (std::size_t i = 0; i < Findings::kept_of_a_code_max; ++i) {
    findings.add("x", Severity::Warning, fmt::format("mx{}.test", i), nullptr, words);
  }
  CHECK_FALSE(findings.has_errors());
  findings.add("x", Severity::Error, "one-more.test", nullptr, words);
  findings.add("y", Severity::Warning, "one-more.test", nullptr, words);
  CHECK(findings.sorted().size() == Findings::kept_of_a_code_max + 1);
  CHECK(findings.not_kept().at("x") == 1);
  CHECK(findings.has_errors());
}
