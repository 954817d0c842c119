// Reports that senders make about TLS (RFC 8460): JSON, often compressed, and usually inside of a mail. Bounded: what comes
// by mail comes from anybody.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace postern::report {

constexpr std::size_t report_file_octets_max = 32 * 1024 * 1024;  ///< of a mail, or of what stands in it
constexpr std::size_t report_octets_max = 16 * 1024 * 1024;       ///< of the JSON text
constexpr std::size_t json_nesting_max = 16;                      ///< a report needs six

/// One entry of `failure-details` (section 4.3.1). Texts are the sender's: escape them before showing.
struct TlsFailure {
  std::string result;        ///< "certificate-host-mismatch"
  std::string sending_ip;
  std::string receiving_mx;
  std::string receiving_ip;
  std::string information;   ///< additional-information, or failure-reason-code
  std::uint64_t sessions = 0;

  friend bool operator==(const TlsFailure&, const TlsFailure&) = default;
};

/// What a sender found under one of a domain's policies.
struct TlsPolicyResult {
  std::string type;          ///< "sts", "tlsa", "no-policy-found"
  std::string domain;
  std::vector<std::string> mx_hosts;
  std::uint64_t successful = 0;
  std::uint64_t failed = 0;
  std::vector<TlsFailure> failures;

  friend bool operator==(const TlsPolicyResult&, const TlsPolicyResult&) = default;
};

struct TlsReport {
  std::string organization;  ///< who sent the mail
  std::string contact;
  std::string id;
  std::string begin, end;    ///< as they stand there: RFC 3339
  std::vector<TlsPolicyResult> policies;

  friend bool operator==(const TlsReport&, const TlsReport&) = default;
};

/// A report in any of its forms: the JSON text, that compressed by gzip, or the mail that brought either. The error says
/// what it is instead.
Result<TlsReport> read_tls_report(std::string_view octets);

/// Only the JSON text.
Result<TlsReport> read_tls_report_json(std::string_view text);

}  // namespace postern::report
