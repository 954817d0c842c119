// `[[backend]]` and `[[domain]]` as the hand-off needs them. config/ fills it.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/instant.h"

namespace postern::delivery {

/// Where a backend listens.
struct UnixTarget {
  std::string path;
  friend bool operator==(const UnixTarget&, const UnixTarget&) = default;
};
struct HostTarget {
  DnsName host;  ///< resolved through c-ares
  std::uint16_t port = 0;
  friend bool operator==(const HostTarget&, const HostTarget&) = default;
};
using Target = std::variant<UnixTarget, Endpoint, HostTarget>;

/// `unix:/run/dovecot/lmtp`, `[::1]:24`, `store.example:24`; nothing when it is none of these (a unix path must be
/// absolute and fit a socket address, a port is 1 to 65535).
std::optional<Target> parse_target(std::string_view text);
std::string to_string(const Target& target);

enum class RecipientCheck { Verify, Trust };

struct BackendTimeouts {
  Duration connect = std::chrono::seconds(10);
  Duration command = std::chrono::seconds(60);
  Duration after_dot = std::chrono::minutes(5);
  friend bool operator==(const BackendTimeouts&, const BackendTimeouts&) = default;
};

struct BackendSettings {
  std::string name;
  std::vector<Target> targets;  ///< tried in this order
  BackendTimeouts timeouts;
  RecipientCheck recipients = RecipientCheck::Verify;
  std::size_t connections_max = 20;              ///< a target, for the whole process
  Duration idle_max = std::chrono::seconds(60);  ///< a kept connection is closed after this

  /// Equal settings keep their connections across a reload.
  friend bool operator==(const BackendSettings&, const BackendSettings&) = default;
};

struct DomainSettings {
  std::optional<DnsName> name;  ///< nothing: the catch-all `*`
  std::string backend;
  std::vector<DnsName> mx;
};

}  // namespace postern::delivery
