// The tool as a client of other people's servers, one after the other, each with a time limit: how far an MX host goes
// with a sender, and what an HTTPS server says. No judgement of what is seen.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/result.h"
#include "http/response_reader.h"
#include "tls/context.h"

namespace postern::tool {

struct SmtpSeen {
  bool greeted = false;        ///< it said 220 and answered EHLO
  std::string failure;         ///< how far it did not go; empty: EHLO was answered under TLS
  std::string tls_version, cipher;
  std::vector<std::string> chain;  ///< DER, leaf first
};

/// Greeting, EHLO, STARTTLS, a handshake that takes any certificate, EHLO, QUIT. Without `server_name` no SNI is sent.
SmtpSeen look_at_mx(const Endpoint& endpoint, const std::optional<DnsName>& server_name, const std::string& our_name,
                    Duration within);

/// GET over TLS, verified by `context` for `host`. Redirects are answers like others.
Result<http::ReceivedResponse> get_over_https(const Endpoint& endpoint, const DnsName& host, const std::string& path,
                                              const std::shared_ptr<const tls::ClientContext>& context,
                                              std::size_t octets_max, Duration within);

}  // namespace postern::tool
