#include "report/tlsrpt_table.h"

#include <algorithm>
#include <limits>

#include "base/dns_name.h"
#include "base/text.h"
#include "report/sender.h"

namespace postern::report {

namespace {

/// What senders write goes to terminals.
std::string shown(const std::string& text, std::size_t length_max) { return escaped(text, length_max); }

/// By which the score would count this sender.
std::string domain_of_sender(const TlsReport& report) {
  const auto at = report.contact.rfind('@');
  if (at != std::string::npos) {
    if (const auto name = DnsName::from_utf8(report.contact.substr(at + 1))) return registrable_domain(*name);
  }
  const bool has_labels = report.organization.find('.') != std::string::npos;
  const auto name = has_labels ? DnsName::from_utf8(report.organization) : std::nullopt;
  return name ? registrable_domain(*name) : std::string();
}

std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  const auto most = std::numeric_limits<std::uint64_t>::max();
  return a > most - b ? most : a + b;
}

}  // namespace

void TlsReportTable::add(const TlsReport& report) {
  ++reports_;
  if (!report.begin.empty() && (begin_.empty() || report.begin < begin_)) begin_ = shown(report.begin, 30);
  if (report.end > end_) end_ = shown(report.end, 30);
  const std::string sender = shown(report.organization, 60), from = domain_of_sender(report);
  for (const TlsPolicyResult& policy : report.policies) {
    const std::string domain = shown(to_lower_ascii(policy.domain), 255);
    if (policy.successful != 0) add_row({domain, sender, from, 1, "ok", ""}, policy.successful);
    std::uint64_t told = 0;
    for (const TlsFailure& failure : policy.failures) {
      told = sum(told, failure.sessions);
      add_row({domain, sender, from, 0, shown(failure.result, 60), shown(to_lower_ascii(failure.receiving_mx), 255)},
              failure.sessions);
    }
    if (policy.failed > told) add_row({domain, sender, from, 0, "failed", ""}, policy.failed - told);
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
    const auto& [domain, sender, from, well, result, mx] = key;
    made.push_back({domain, sender, result, mx, sessions, from});
  }
  return made;
}

}  // namespace postern::report
