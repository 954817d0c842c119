// XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README), both ways: attributes by which one mail server
// tells another, which trusts it, who the client is. Values are xtext (RFC 3461 section 4).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace postern::proxy {

/// What is said of a client. What is absent was not said, or said to be `[UNAVAILABLE]` or `[TEMPUNAVAIL]`.
struct ClientIdentity {
  std::optional<IpAddress> address;                 ///< ADDR
  std::optional<std::uint16_t> port;                ///< PORT
  std::optional<std::string> name;                  ///< NAME: the confirmed host name
  std::optional<std::string> reverse_name;          ///< REVERSE_NAME: what reverse DNS says, confirmed or not
  bool name_may_come = false;                       ///< absent names are `[TEMPUNAVAIL]`: DNS could not say
  std::optional<std::string> hello_name;            ///< HELO: raw
  std::optional<std::string> protocol;              ///< PROTO: "SMTP" or "ESMTP"
  std::optional<std::string> login;                 ///< LOGIN: the SASL user
  std::optional<IpAddress> destination_address;     ///< DESTADDR
  std::optional<std::uint16_t> destination_port;    ///< DESTPORT
  std::optional<std::string> identifier;            ///< IDENT (XFORWARD): the proxy's own id of the message
  std::optional<std::string> origin;                ///< SOURCE (XFORWARD): "LOCAL" or "REMOTE"

  friend bool operator==(const ClientIdentity&, const ClientIdentity&) = default;
};

/// What XCLIENT takes, as its EHLO keyword lists it (without SMTP's HELO in LMTP, and without what may not be told us).
inline constexpr std::string_view xclient_attributes = "NAME ADDR PORT PROTO HELO REVERSE_NAME DESTADDR DESTPORT";
inline constexpr std::string_view xforward_attributes = "NAME ADDR PORT PROTO HELO IDENT SOURCE";

/// Reads the argument of XCLIENT or XFORWARD into `known`: later commands add to earlier ones. `allowed` is the list
/// that was offered. An error says what is malformed, and leaves `known` as it was.
Result<void> read_attributes(std::string_view argument, std::string_view allowed, ClientIdentity& known);

/// The XCLIENT command that tells `identity` to a backend whose EHLO answer offered `offered` (Exim answers a fatal 501
/// to any other attribute), without CRLF. NAME and REVERSE_NAME are said to be `[UNAVAILABLE]` or `[TEMPUNAVAIL]`
/// when they are absent: the backend would else keep those of the proxy. An error when the backend takes no ADDR.
Result<std::string> xclient_command(const ClientIdentity& identity, const std::vector<std::string_view>& offered);

/// The same with XFORWARD, which informs the backend's log and policy but begins no new session.
Result<std::string> xforward_command(const ClientIdentity& identity, const std::vector<std::string_view>& offered);

std::string xtext(std::string_view raw);
/// Nothing when a `+` is not followed by two hexadecimal digits.
std::optional<std::string> from_xtext(std::string_view text);

}  // namespace postern::proxy
