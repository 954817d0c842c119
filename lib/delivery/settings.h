// `[[backend]]` and `[[domain]]` as the hand-off needs them. config/ fills it.
#pragma once

#include <compare>
#include <memory>
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
/// Whether what is said to it in clear stays on this machine.
bool is_local(const Target& target);

/// How it is known whether there is a recipient.
enum class RecipientCheck {
  Verify,  ///< the backend is asked
  Trust,   ///< every one is taken
  Listed,  ///< a file lists them: see UserFile
};

/// `recipients = { file = "users.txt" }`; user_list.h reads it.
struct UserFile {
  enum class LocalPartCase { Ignored, Counts };
  std::string path;
  std::string delimiters = "+";  ///< each of these octets begins an address extension: `user+tag` is `user`
  LocalPartCase local_part_case = LocalPartCase::Ignored;  ///< of ASCII letters; that of domains never counts
  friend auto operator<=>(const UserFile&, const UserFile&) = default;
};

/// `[recipients]`: what is remembered of RecipientCheck::Verify.
struct RecipientCheckSettings {
  Duration accepted_for = std::chrono::hours(1);
  Duration unknown_for = std::chrono::minutes(1);
  std::size_t entries_max = 100'000;  ///< for the whole process
  /// A domain that took a random name is not asked about for so long; zero: no random name is tried.
  Duration catch_all_for = std::chrono::hours(1);
  /// So many answers of the backend that it takes a recipient come before the random name.
  std::size_t catch_all_after = 3;
  friend bool operator==(const RecipientCheckSettings&, const RecipientCheckSettings&) = default;
};

/// `[recipients]`: how many recipients that do not exist a client may name. Zero: any number.
struct HarvestSettings {
  std::size_t unknown_per_address = 100;
  std::size_t unknown_per_network = 1000;
  Duration window = std::chrono::minutes(10);
  std::vector<Network> exempt;
  friend bool operator==(const HarvestSettings&, const HarvestSettings&) = default;
};

struct BackendTimeouts {
  Duration connect = std::chrono::seconds(10);
  Duration command = std::chrono::seconds(60);
  Duration after_dot = std::chrono::minutes(5);
  friend bool operator==(const BackendTimeouts&, const BackendTimeouts&) = default;
};

/// TLS towards a backend.
struct BackendTls {
  enum class Mode { Off, Starttls, Implicit };
  Mode mode = Mode::Off;
  std::optional<DnsName> name;  ///< what its certificate must be for; nothing: the host name of the target
  std::string ca;               ///< PEM file of trust anchors; empty: those of the system
  std::string certificate;      ///< PEM file with our own chain; empty: none is shown
  std::string key;              ///< PEM file with its private key
  friend bool operator==(const BackendTls&, const BackendTls&) = default;
};

/// What a backend speaks.
enum class Protocol { Lmtp, Smtp };

/// Which of several targets a message goes to first; the others follow when it fails.
enum class Balance {
  Order,  ///< as they stand
  Least,  ///< the one with the fewest transactions under way
  Hash,   ///< by recipient: as long as the targets stay the same and live, each has its own recipients
};

/// How a backend is told who the client is.
enum class Identity {
  Auto,      ///< XCLIENT where it is offered, else XFORWARD where that is
  None,
  Xclient,   ///< a backend that does not offer it is not used
  Xforward,
};

/// What happens to local parts that MTAs have read as routes, files or commands (DESIGN section 3).
enum class LocalParts { Safe, Any };

/// `deliver = "smtp-proxy"`: sessions are passed through to an MTA (DESIGN section 3).
struct PassThrough {
  enum class Connect { Late, Early };
  /// How the MTA is told who the client is. There is no way without.
  enum class Identity { ProxyV1, ProxyV2, Xclient };
  /// What the MTA bears of a PROXY header.
  enum class Profile {
    Postfix,  ///< 536 octets
    Exim,     ///< 232 octets, and no TLVs
  };
  enum class Authentication { Refused, Passed };
  enum class Trace { None, Received };

  Connect connect = Connect::Late;
  Identity identity = Identity::ProxyV2;
  Profile profile = Profile::Postfix;
  Authentication authentication = Authentication::Refused;
  Trace trace = Trace::None;
  std::vector<std::string> pass_extensions;

  friend bool operator==(const PassThrough&, const PassThrough&) = default;
};

struct BackendSettings {
  std::string name;
  Protocol protocol = Protocol::Lmtp;
  std::vector<Target> targets;
  Balance balance = Balance::Order;
  BackendTls tls;
  Identity identity = Identity::Auto;
  LocalParts local_parts = LocalParts::Any;
  std::optional<PassThrough> pass_through;  ///< else it is a mail store, or an MTA that is handed messages
  BackendTimeouts timeouts;
  RecipientCheck recipients = RecipientCheck::Verify;
  UserFile users;  ///< only with RecipientCheck::Listed
  std::size_t connections_max = 20;              ///< a target, for the whole process
  Duration idle_max = std::chrono::seconds(60);  ///< a kept connection is closed after this
  Duration age_max = std::chrono::minutes(10);   ///< and, between two transactions, after this
  Duration wait_max = std::chrono::seconds(30);  ///< in line for a connection
  std::size_t waiting_max = 1000;                ///< who stand in that line of a target, for the whole process
  Duration health_interval = std::chrono::seconds(30);  ///< between two looks at an unused target; zero: none

  /// Equal settings keep their connections across a reload.
  friend bool operator==(const BackendSettings&, const BackendSettings&) = default;
};

/// Top-level `ledger_ttl` and `ledger_entries`.
struct LedgerSettings {
  Duration ttl = std::chrono::hours(5 * 24);  ///< how long an entry waits for the sender to come again
  std::size_t entries_max = 100'000;          ///< in memory and on disk; about 300 octets each
  friend bool operator==(const LedgerSettings&, const LedgerSettings&) = default;
};

/// `[[route]]`: where sessions go whose client has asked for this name.
struct SniRoute {
  DnsName name;
  enum class Covers { Name, Subdomains };
  Covers covers = Covers::Name;  ///< Subdomains: `*.` stands in front of it, for one label
  std::string backend;
};

struct DomainSettings {
  std::optional<DnsName> name;  ///< nothing: the catch-all `*`
  std::string backend;
  std::vector<DnsName> mx;
  bool null_mx = false;  ///< RFC 7505: takes no mail; `backend` means nothing then
  std::shared_ptr<const std::string> tlsrpt = {};  ///< who gets TLSRPT reports (RFC 8460 section 3, `rua`); null: nobody
};

}  // namespace postern::delivery
