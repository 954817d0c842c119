// Many reports as one table: what other people's senders found, by domain, sender, result and MX host. Bounded.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "report/tlsrpt.h"

namespace postern::report {

struct TlsReportRow {
  std::string domain;
  std::string sender;   ///< the organization
  std::string result;   ///< "ok", or the sender's result-type
  std::string mx;       ///< of a failure; empty: the report does not say
  std::uint64_t sessions = 0;
  std::string sender_domain;  ///< registrable: of the contact's address, else the organization if it is a domain; or empty
};

class TlsReportTable {
 public:
  static constexpr std::size_t rows_max = 100'000;

  void add(const TlsReport& report);

  /// By domain, then sender; failures before what was well.
  std::vector<TlsReportRow> rows() const;
  std::uint64_t reports() const { return reports_; }
  std::uint64_t left_out() const { return left_out_; }  ///< sessions in rows for which there was no room
  const std::string& begin() const { return begin_; }   ///< of the earliest report
  const std::string& end() const { return end_; }       ///< of the latest

 private:
  /// Domain, sender, its domain, whether it was well, result, MX.
  using Key = std::tuple<std::string, std::string, std::string, int, std::string, std::string>;
  void add_row(Key key, std::uint64_t sessions);

  std::map<Key, std::uint64_t> rows_;
  std::uint64_t reports_ = 0, left_out_ = 0;
  std::string begin_, end_;
};

}  // namespace postern::report
