// By what name a sender is counted. An EHLO name proves nothing: reverse DNS that is confirmed does, and the organisation
// behind it is its registrable domain (Public Suffix List); everybody else is a network.
#pragma once

#include <optional>
#include <string>

#include "base/address.h"
#include "base/dns_name.h"

namespace postern::report {

/// "google.com"; or the /24 or /64: "192.0.2.0/24".
std::string sender_of(const IpAddress& address, const std::optional<DnsName>& confirmed_name);

/// "google.com" for "mail-1.google.com"; the name itself where it has no such domain.
std::string registrable_domain(const DnsName& name);

/// False for a network.
bool is_verified(std::string_view sender);

}  // namespace postern::report
