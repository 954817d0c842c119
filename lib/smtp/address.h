// Mailboxes and paths (RFC 5321 section 4.1.2, RFC 6531 section 3.3). Grammar only, no policy.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dns_name.h"

namespace postern::smtp {

/// local-part@domain. Whether the local part was quoted does not matter to its meaning: it is held unquoted.
struct Mailbox {
  std::string local_part;  ///< without quotes and backslashes; may hold UTF-8
  std::string domain;      ///< as given: a name (A- or U-labels), or an address literal with its brackets

  /// The domain as a canonical host name (U-labels converted); nothing for an address literal.
  std::optional<DnsName> domain_name() const;

  /// As it is written in a command: the local part quoted where it must be.
  std::string text() const;

  /// True when the local part or the domain has octets over 0x7f: it can be sent only with SMTPUTF8.
  bool needs_smtputf8() const;

  friend bool operator==(const Mailbox&, const Mailbox&) = default;
};

/// MAIL FROM. The null reverse-path `<>` (bounces) has no mailbox.
struct ReversePath {
  std::optional<Mailbox> mailbox;

  /// `<user@example.com>` or `<>`
  std::string text() const;
  friend bool operator==(const ReversePath&, const ReversePath&) = default;
};

/// RCPT TO. `<postmaster>` without a domain is legal (RFC 5321 section 4.5.1): then the domain is empty. Source routes
/// are parsed and dropped (RFC 5321 appendix C).
struct ForwardPath {
  Mailbox mailbox;

  bool is_bare_postmaster() const { return mailbox.domain.empty(); }
  std::string text() const;
  friend bool operator==(const ForwardPath&, const ForwardPath&) = default;
};

/// How much a parser forgives. What is forgiven is held, and passed on, in the form that the RFC wants.
enum class Tolerance {
  Strict,    ///< the grammar of the RFC
  Forgiving, ///< paths without angle brackets or with blanks around them, and stray dots in a local part (`a..b@c`)
};

/// `user@example.com`, for configuration files; strict. Nothing when it is no mailbox.
std::optional<Mailbox> parse_mailbox(std::string_view text);

/// Reads a path at the front of `rest` and drops it from there, so that parameters remain. Nothing when there is none;
/// `rest` is then of no use.
std::optional<ReversePath> take_reverse_path(std::string_view& rest, Tolerance tolerance);
std::optional<ForwardPath> take_forward_path(std::string_view& rest, Tolerance tolerance);

/// `[192.0.2.1]`, `[IPv6:2001:db8::1]`, `[tag:content]` (RFC 5321 section 4.1.3).
bool is_address_literal(std::string_view text);

/// RFC 3629: no overlong forms, no surrogates, nothing over U+10FFFF. ASCII is UTF-8.
bool is_utf8(std::string_view text);

}  // namespace postern::smtp
