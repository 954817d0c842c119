// What one SMTP session showed of its sender: what the score is made of. (Inside the program only; DESIGN section 5.)
//
// A handshake that was completed is not a certificate that was accepted: Postfix completes it and says QUIT, Exim
// completes it and sends an alert, others reset or close. Only MAIL behind it says that the sender went on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/instant.h"

namespace postern::report {

/// The name in a ClientHello, and what the certificate map had for it.
enum class Sni : std::uint8_t {
  None,
  Exact,
  Wildcard,  ///< also `.parent` entries
  Unknown,   ///< not in the map: the default was served
  Unusable,  ///< no host name (an IP address, ...): likewise
};
constexpr std::size_t sni_count = 5;

/// How the client took our certificate, as far as it shows.
enum class Reception : std::uint8_t {
  Accepted,  ///< MAIL
  Left,      ///< EHLO, and an end without MAIL: a look, or a sender that changed its mind
  Failed,    ///< no handshake came about, for another reason than the certificate
  // The rest are refusals, by how they were shown.
  BadCertificate,
  UnsupportedCertificate,
  CertificateRevoked,
  CertificateExpired,
  CertificateUnknown,
  UnknownCa,
  OtherAlert,
  Quit,    ///< before EHLO
  Reset,   ///< the connection, before EHLO
  Closed,  ///< likewise, in silence
};
constexpr std::size_t reception_count = 13;
constexpr std::size_t first_refusal = static_cast<std::size_t>(Reception::BadCertificate);
constexpr bool is_refusal(Reception reception) { return static_cast<std::size_t>(reception) >= first_refusal; }
/// "alert bad_certificate", "QUIT after the handshake", ...
std::string_view to_string(Reception reception);

/// What an alert in answer to our certificate says. `during_handshake`: it may be about something else then.
enum class AlertMoment { DuringHandshake, Afterwards };
Reception reception_of_alert(int alert, AlertMoment moment);

/// What a sender that validates certificates by MTA-STS (RFC 8461 section 4) makes of a connection, for one recipient
/// domain.
enum class Sts : std::uint8_t {
  Pass,
  Clear,        ///< no TLS
  Name,         ///< the certificate does not cover the MX name
  Expired,
  NotYetValid,
  Untrusted,    ///< its chain leads to no trust anchor
  OtherMx,      ///< the name in SNI is none of the domain's MX names
  DomainAsSni,  ///< it is the domain itself
};
constexpr std::size_t sts_count = 8;
/// "pass", "fail:name", ...
std::string_view to_string(Sts verdict);

/// What a handshake that did not come to its end, or to an alert, leaves behind.
struct FailedHandshake {
  WallTime time{};
  std::string sender;   ///< see sender_of()
  std::string address;
  std::string local;
  std::string stage;    ///< "ClientHello", "certificate", "after the handshake"
  std::string reason;
  std::string alert;    ///< empty: none was received or sent
  std::string server_name;  ///< escaped; empty: none
  std::string version;      ///< the one in use, as far as it came to one
  std::vector<std::uint16_t> versions, cipher_suites, groups, signature_schemes;  ///< offered
  std::vector<std::string> alpn;                                                   ///< escaped

  friend bool operator==(const FailedHandshake&, const FailedHandshake&) = default;
};

enum class TlsVersion : std::uint8_t { None, Older, Tls12, Tls13 };

struct Handshake {
  Sni sni = Sni::None;
  std::optional<DnsName> server_name;  ///< one of ours: in the map, or an MX name; others are counted together
  TlsVersion version = TlsVersion::None;
  enum class Resumption : std::uint8_t { Full, Resumed } resumption = Resumption::Full;
  Reception reception = Reception::Left;
  std::optional<FailedHandshake> failure;  ///< without time, sender and addresses
};

/// Messages to one domain that were taken over this connection.
struct Delivery {
  DnsName domain;
  std::uint32_t messages = 0;
  Sts verdict = Sts::Pass;
  Sni sni = Sni::None;
};

struct SessionFacts {
  WallTime time{};               ///< its end
  IpAddress address;
  std::optional<DnsName> name;   ///< confirmed by DNS
  IpAddress local;
  std::optional<Handshake> handshake;  ///< absent: in clear
  enum class Mail : std::uint8_t { None, Named } mail = Mail::None;  ///< whether there was a MAIL command
  std::vector<Delivery> deliveries;
};

}  // namespace postern::report
