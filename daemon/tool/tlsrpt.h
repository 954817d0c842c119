// `postern tlsrpt`: what other people's senders say of our TLS.
#pragma once

#include <string>
#include <vector>

#include "daemon/tool/output.h"
#include "report/tlsrpt_table.h"

namespace postern::tool {

struct TlsrptArguments {
  std::vector<std::string> files;     ///< `-`: standard input
  std::vector<std::string> maildirs;
  std::string domain;                 ///< only this one; empty: all
  Format format = Format::Text;
};

/// Returns the exit code: 1 when a file is no report. Mails in a Maildir that have none are counted.
int tlsrpt(const TlsrptArguments& arguments);

/// What it prints as text.
std::string tlsrpt_text(const std::vector<report::TlsReportRow>& rows);

}  // namespace postern::tool
