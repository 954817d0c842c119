// The PROXY protocol, versions 1 and 2, both ways: who the client is whose bytes follow on a connection that somebody
// else has accepted (HAProxy's proxy-protocol.txt, 2020/03/05). Values only; whom to believe is the caller's business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"

namespace postern::proxy {

/// What PP2_TYPE_SSL says of the client's TLS connection.
struct TlsFacts {
  /// Of a client certificate; a server that asks for none says NotAsked.
  enum class Verified { NotAsked, Good, Failed };
  Verified verified = Verified::NotAsked;
  std::string version;      ///< "TLSv1.3"
  std::string cipher;       ///< IANA name
  std::string common_name;  ///< of the client certificate

  friend bool operator==(const TlsFacts&, const TlsFacts&) = default;
};

struct Header {
  enum class Command {
    Local,    ///< the proxy speaks for itself (a health check): the connection's own addresses hold
    Proxied,
  };
  Command command = Command::Proxied;

  /// Both or neither. Missing for Local, for `UNKNOWN`, and for families that are no TCP or UDP over IP: legal, and then
  /// the connection's own addresses hold.
  std::optional<Endpoint> source;
  std::optional<Endpoint> destination;

  // Version 2 only; raw, as the peer sent them: escape before logging.
  std::string authority;          ///< PP2_TYPE_AUTHORITY: the server name that the client asked for; empty: not said
  std::string alpn;               ///< PP2_TYPE_ALPN
  std::string unique_id;          ///< PP2_TYPE_UNIQUE_ID, 128 octets at most
  std::optional<TlsFacts> tls;    ///< PP2_TYPE_SSL with PP2_CLIENT_SSL; absent: in clear, or not said

  friend bool operator==(const Header&, const Header&) = default;
};

/// The longest header that is read: a legal one may be 64 KiB longer, but no real one comes near.
constexpr std::size_t header_octets_max = 4096;
/// The longest of version 1, with CRLF.
constexpr std::size_t header_v1_octets_max = 107;

/// The header at the front of `input`, which is then dropped from there. Nothing while more bytes are needed; an error
/// when no header can come of them any more. Reads never more than the header, so that what stands behind it may be
/// anything.
Result<std::optional<Header>> take_header(std::string_view& input);

/// `PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n`; without addresses, and for Local, `PROXY UNKNOWN\r\n`. An IPv4
/// address beside an IPv6 one is written as IPv4-mapped.
std::string render_v1(const Header& header);

/// Leaves out what does not fit into `octets_max` (at least 52, addresses always fit), the least useful first: unique id, ALPN, common
/// name, TLS facts, authority.
std::string render_v2(const Header& header, std::size_t octets_max);

}  // namespace postern::proxy
