#include "report/tlsrpt_comparison.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "report/event.h"

namespace postern::report {

namespace {

constexpr std::string_view well = "ok";

/// Domain, sender, whether it was well, result.
using Key = std::tuple<std::string, std::string, bool, std::string>;

Key key_of(const std::string& domain, const std::string& sender, const std::string& result) {
  return {domain, sender, result == well, result};
}

}  // namespace

std::vector<ComparedRow> compare(const std::vector<TlsReportRow>& reported, const std::vector<OwnFinding>& seen) {
  std::map<Key, ComparedRow> rows;
  std::map<std::string, std::string> organizations;  // by sender
  for (const TlsReportRow& row : reported) {
    const std::string& sender = row.sender_domain.empty() ? row.sender : row.sender_domain;
    rows[key_of(row.domain, sender, row.result)].reported += row.sessions;
    organizations.emplace(sender, row.sender);
  }
  for (const OwnFinding& finding : seen) {
    if (finding.count > 0) rows[key_of(finding.domain, finding.sender, finding.result)].seen += finding.count;
  }
  std::vector<ComparedRow> made;
  made.reserve(rows.size());
  for (auto& [key, row] : rows) {
    std::tie(row.domain, row.sender, std::ignore, row.result) = key;
    const auto known = organizations.find(row.sender);
    if (known != organizations.end()) row.organization = known->second;
    made.push_back(std::move(row));
  }
  return made;
}

std::string reported_as(std::string_view kind) {
  const std::array<std::pair<std::string_view, std::string_view>, 8> same{{
      {to_string(Sts::Pass), well},
      {to_string(Sts::Name), "certificate-host-mismatch"},
      {to_string(Sts::Expired), "certificate-expired"},
      {to_string(Sts::NotYetValid), "validation-failure"},
      {to_string(Sts::Untrusted), "certificate-not-trusted"},
      {to_string(Reception::CertificateExpired), "certificate-expired"},
      {to_string(Reception::UnknownCa), "certificate-not-trusted"},
      {to_string(Reception::CertificateRevoked), "validation-failure"},
  }};
  const auto* found = std::find_if(same.begin(), same.end(), [&](const auto& each) { return each.first == kind; });
  return std::string(found == same.end() ? kind : found->second);
}

}  // namespace postern::report
