// `postern certs`: which certificates a configuration or a running posternd has, why a name gets the one that it gets,
// and going back to an earlier version of the map.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"
#include "daemon/tool/table.h"

namespace postern::tool {

struct CertsArguments {
  std::string control;          ///< path of the control socket
  std::string configuration;    ///< a file to be read instead of asking a daemon; empty: none
  control::CertificatesRequest filter;
  std::string name;             ///< explain this one
  bool versions = false;
  std::optional<std::uint64_t> rollback;
  Format format = Format::Text;
};

/// Returns the exit code: 1 also when one of the certificates that are listed has failed or expired, or when the name
/// that is asked for gets the default.
int certs(const CertsArguments& arguments);

/// What it prints as text.
Table certificates_table();
void add_certificate(Table& table, const control::CertificateRow& row);
std::string explain_text(const control::ExplainReply& reply);
std::string versions_text(const control::VersionsReply& reply);
std::string rollback_text(const control::RollbackReply& reply);

}  // namespace postern::tool
