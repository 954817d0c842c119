// A ClientHello as a value, and a reader that finds it in the first bytes of a connection, before BoringSSL sees them:
// what BoringSSL refuses before any callback is then still counted and logged as what it is (DESIGN promise 2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dns_name.h"

namespace postern::tls {

// Named groups (RFC 8446 section 4.2.7).
constexpr std::uint16_t group_p256 = 23;
constexpr std::uint16_t group_p384 = 24;
constexpr std::uint16_t group_p521 = 25;
constexpr std::uint16_t group_x25519 = 29;

/// What the server_name extension (RFC 6066 section 3) said.
enum class SniKind {
  Absent,
  HostName,   ///< a well-formed host name: `server_name` holds it
  Unusable,   ///< something else that BoringSSL lets through (an IP literal, spaces, ...): gets the default certificate
  Malformed,  ///< BoringSSL will end the handshake: empty, a NUL, over 255 octets, another name type, broken framing
};

struct ClientHello {
  SniKind sni = SniKind::Absent;
  std::string raw_server_name;         ///< as sent, at most 255 octets; escape before logging
  std::optional<DnsName> server_name;  ///< for SniKind::HostName
  std::vector<std::uint16_t> versions; ///< supported_versions, or the legacy version alone
  std::vector<std::uint16_t> cipher_suites;
  std::vector<std::uint16_t> groups;
  std::vector<std::uint16_t> signature_schemes;  ///< empty when the extension is absent
  std::vector<std::string> alpn;
  bool has_session_ticket = false;     ///< offers a ticket or a TLS 1.3 PSK

  bool offers_tls13() const;
  /// Whether a server with an ECDSA P-256 (P-384, ...) leaf can be used: TLS 1.3 by signature schemes; TLS 1.2 by an
  /// ECDHE_ECDSA suite, the curve among the groups, and a signature scheme. `curve_group` is one of `group_` below.
  bool accepts_ecdsa(std::uint16_t curve_group) const;
  bool accepts_rsa() const;
  bool accepts_ed25519() const;

  friend bool operator==(const ClientHello&, const ClientHello&) = default;
};

/// Parses the body of a ClientHello handshake message (without its 4-octet header, RFC 8446 section 4.1.2). Nothing when
/// the framing is broken. The contents of extensions other than server_name are not judged: what cannot be read counts
/// as absent, for BoringSSL will refuse it.
std::optional<ClientHello> parse_client_hello(std::string_view body);

/// Collects the first records until the ClientHello is whole. It only looks: the caller gives the same bytes to
/// BoringSSL. Keeps at most `octets_max`.
class ClientHelloReader {
 public:
  static constexpr std::size_t octets_max = 64 * 1024;
  enum class State {
    NeedMore,
    Complete,
    NotTls,     ///< the first octets are no TLS record (or an SSL 2.0 ClientHello, which has no server name)
    Malformed,  ///< records that do not carry a ClientHello first, or one that cannot be read
  };

  State receive(std::string_view bytes);
  State state() const { return state_; }
  /// Only in State::Complete.
  const ClientHello& hello() const { return *hello_; }
  ClientHello take_hello() { return std::move(*hello_); }

 private:
  State read_record(std::string_view& input);
  State read_handshake(std::string_view fragment);

  State state_ = State::NeedMore;
  std::string handshake_;  // handshake bytes so far, records taken off
  std::string record_;     // an incomplete record
  std::size_t empty_records_ = 0;
  std::optional<ClientHello> hello_;
};

}  // namespace postern::tls
