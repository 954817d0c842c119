// `postern tlsrpt`: what other people's senders say of our TLS.
#pragma once

#include <string>
#include <vector>

#include "control/protocol.h"
#include "daemon/tool/output.h"
#include "report/tlsrpt_comparison.h"
#include "report/tlsrpt_table.h"

namespace postern::tool {

struct TlsrptArguments {
  std::vector<std::string> files;     ///< `-`: standard input
  std::vector<std::string> maildirs;
  std::string domain;                 ///< only this one; empty: all
  enum class Beside { Nothing, Score } beside = Beside::Nothing;  ///< Score: what posternd saw itself
  std::string control;                ///< of the posternd that is asked for its score
  std::string window = "7d";          ///< of the score
  Format format = Format::Text;
};

/// Returns the exit code: 1 when a file is no report, or posternd does not answer. Mails in a Maildir that have none are
/// counted.
int tlsrpt(const TlsrptArguments& arguments);

/// What it prints as text: reports alone, and with the score beside them.
std::string tlsrpt_text(const std::vector<report::TlsReportRow>& rows);
std::string comparison_text(const std::vector<report::ComparedRow>& rows);

/// What the score says of one domain.
std::vector<report::OwnFinding> own_findings(const control::SniDomainReply& reply);

}  // namespace postern::tool
