// The Received header field that postern puts in front of every message (RFC 5321 section 4.4, RFC 8314 section 4.3).
#pragma once

#include <optional>
#include <string>

#include "base/address.h"
#include "base/instant.h"
#include "smtp/address.h"

namespace postern::smtp {

struct TraceFacts {
  std::string client_name;             ///< as given in EHLO
  std::string client_dns_name;         ///< confirmed by DNS; empty: none is
  IpAddress client_address;
  std::string by;                      ///< our host name
  std::string protocol;                ///< ServerSession::protocol_name()
  std::string transaction;             ///< our id
  std::optional<ForwardPath> for_path; ///< only when the transaction has one recipient
  std::string tls_version;             ///< "TLSv1.3", empty in clear
  std::string tls_cipher;              ///< IANA name
  std::string server_name;             ///< the SNI as sent, unescaped; empty: none
  WallTime time{};
};

/// A folded field ending in CRLF; everything that came from the wire is escaped.
std::string received_field(const TraceFacts& facts);

}  // namespace postern::smtp
