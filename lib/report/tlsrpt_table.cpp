#include "report/tlsrpt_table.h"

#include <algorithm>
#include <limits>

#include "base/text.h"

namespace postern::report {

namespace {

/// What senders write goes to terminals.
std::string shown(const std::string& text, std::size_t length_max) { return escaped(text, length_max); }

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  const auto most = std::numeric_limits<std::uint64_t>::max();
  return a > most - b ? most : a + b;
}

}  // namespace

void TlsReportTable::add(const TlsReport& report) {
  ++reports_;
  if (!report.begin.empty() && (begin_.empty() || report.begin < begin_)) begin_ = shown(report.begin, 30);
  if (report.end > end_) end_ = shown(report.end, 30);
  const std::string sender = shown(report.organization, 60);
  for (const TlsPolicyResult& policy : report.policies) {
    const std::string domain = shown(to_lower_ascii(policy.domain), 255);
    if (policy.successful != 0) add_row({domain, sender, 1, "ok", ""}, policy.successful);
    std::uint64_t told = 0;
    for (const TlsFailure& failure : policy.failures) {
      told = sum(told, failure.sessions);
      add_row({domain, sender, 0, shown(failure.result, 60), shown(to_lower_ascii(failure.receiving_mx), 255)},
              failure.sessions);
    }
    if (policy.failed > told) add_row({domain, sender, 0, "failed", ""}, policy.failed - told);
  }
}

void TlsReportTable::add_row(Key key, std::uint64_t sessions) {
  const auto known = rows_.find(key);
  if (known != rows_.end()) {
    known->second = sum(known->second, sessions);
  } else if (rows_.size() < rows_max) {
    rows_.emplace(std::move(key), sessions);
  } else {
    left_out_ = sum(left_out_, sessions);
  }
}

std::vector<TlsReportRow> TlsReportTable::rows() const {
  std::vector<TlsReportRow> made;
  made.reserve(rows_.size());
  for (const auto& [key, sessions] : rows_) {
    const auto& [domain, sender, well, result, mx] = key;
    made.push_back({domain, sender, result, mx, sessions});
  }
  return made;
}

}  // namespace postern::report
