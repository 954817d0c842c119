#include "report/tlsrpt_table.h"

#include <fmt/format.h>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::report;

namespace {

TlsReport example(std::string sender) {
  TlsReport report;
  report.organization = std::move(sender);
  report.begin = "2026-11-25T00:00:00Z";
  report.end = "2026-11-25T23:59:59Z";
  TlsPolicyResult policy;
  policy.domain = "One.test";
  policy.successful = 10;
  policy.failed = 5;
  policy.failures = {{"certificate-expired", "", "MX.one.test", "", "", 3}};
  report.policies = {policy};
  return report;
}

std::vector<std::string> lines(const TlsReportTable& table) {
  std::vector<std::string> made;
  for (const auto& row : table.rows()) {
    made.push_back(fmt::format("{} {} {} {} {}", row.domain, row.sender, row.result, row.mx, row.sessions));
  }
  return made;
}

}  // namespace

TEST_CASE("reports of several days and senders are added up, failures first", "[tlsrpt_table]") {
  TlsReportTable table;
  table.add(example("A"));
  auto later = example("A");
  later.end = "2026-11-26T23:59:59Z";
  table.add(later);
  table.add(example("B"));
  CHECK(table.reports() == 3);
  CHECK(table.end() == "2026-11-26T23:59:59Z");
  CHECK(lines(table) == std::vector<std::string>{"one.test A certificate-expired mx.one.test 6", "one.test A failed  4",
                                                 "one.test A ok  20", "one.test B certificate-expired mx.one.test 3",
                                                 "one.test B failed  2", "one.test B ok  10"});
}

TEST_CASE("what a stranger writes is fit for a terminal, and sums do not wrap", "[tlsrpt_table]") {
  TlsReportTable table;
  auto report = example("evil\x1b[2J");
  report.policies[0].successful = UINT64_MAX;
  table.add(report);
  table.add(report);
  const auto rows = table.rows();
  CHECK(rows.back().sender.find('\x1b') == std::string::npos);
  CHECK(rows.back().sessions == UINT64_MAX);
}

TEST_CASE("rows are bounded", "[tlsrpt_table]") {
  TlsReportTable table;
  auto report = example("A");
  report.policies.assign(TlsReportTable::rows_max + 5, report.policies.front());
  for (std::size_t i = 0; i < report.policies.size(); ++i) {
    report.policies[i] = {"", fmt::format("d{}.test", i), {}, 2, 0, {}};
  }
  table.add(report);
  CHECK(table.rows().size() == TlsReportTable::rows_max);
  CHECK(table.left_out() == 10);
}
