// `postern sni`: what senders ask for in SNI, and what they make of the certificates that they get.
#pragma once

#include <cstdint>
#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"

namespace postern::tool {

struct SniArguments {
  std::string control;
  std::string window = "24h";
  std::string domain;      ///< of the mail that is asked about; empty: of all senders
  bool failures = false;   ///< the handshakes that failed
  std::uint64_t limit = 50;
  Format format = Format::Text;
};

/// Exit code 1 when it cannot be answered, or when `enforce` is unsafe for the domain.
int sni(const SniArguments& arguments);

std::string sni_text(const control::SniReply& reply);
std::string sni_domain_text(const control::SniDomainReply& reply);
std::string sni_failures_text(const control::SniFailuresReply& reply);

}  // namespace postern::tool
