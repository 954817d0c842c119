// What other people's senders report of our TLS, and what we saw of the same senders ourselves, in one table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "report/tlsrpt_table.h"

namespace postern::report {

/// Of our own score.
struct OwnFinding {
  std::string domain;  ///< of the mail
  std::string sender;  ///< see sender_of()
  std::string result;  ///< see reported_as()
  std::uint64_t count = 0;
};

struct ComparedRow {
  std::string domain;
  std::string sender;         ///< a domain or a network; the organization where its domain is not known
  std::string organization;   ///< that reported; empty: none
  std::string result;
  std::uint64_t reported = 0; ///< sessions
  std::uint64_t seen = 0;     ///< messages, or refused handshakes
};

/// One row for each domain, sender and result, in this order; what was well is the last of a sender's.
std::vector<ComparedRow> compare(const std::vector<TlsReportRow>& reported, const std::vector<OwnFinding>& seen);

/// The result-type of RFC 8460 section 4.3 for what the score calls to_string(Sts) or to_string(Reception), as far as one
/// says the same; else the score's own word.
std::string reported_as(std::string_view kind);

}  // namespace postern::report
