// The configuration as values: what needs a restart (StartConfig) and what a reload replaces (RunConfig).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/dns_name.h"
#include "base/instant.h"
#include "base/result.h"
#include "certs/settings.h"
#include "delivery/settings.h"
#include "mtasts/policy_host.h"
#include "report/settings.h"
#include "smtp/address.h"
#include "smtp/extensions.h"
#include "smtp/settings.h"
#include "tls/settings.h"

namespace postern::config {

enum class ListenerTls { Starttls, Implicit, None };

/// What is spoken to who connects.
enum class ListenerProtocol {
  Smtp,
  MtaSts,  ///< HTTPS: the policy host
  Acme,    ///< HTTP: http-01 challenges
  Admin,   ///< HTTP: metrics and health; read as an AdminListener
};

/// Whether connections begin with a PROXY header.
enum class ProxyProtocol { Off, Required };

/// Which name the EHLO answer says after STARTTLS.
enum class GreetAs {
  Hostname,
  Sni,  ///< the name that the client asked for, if a certificate of ours has it
};

/// `local = { "192.0.2.1" = {...} }`: what differs for one local address.
struct LocalAddress {
  std::optional<std::string> hostname;
  std::optional<std::string> default_certificate;
};

/// One `[[listen]]`.
struct Listener {
  std::vector<Endpoint> addresses;
  ListenerProtocol protocol = ListenerProtocol::Smtp;
  ListenerTls tls = ListenerTls::Starttls;
  std::string hostname;             ///< its own, or the global one
  GreetAs greet_as = GreetAs::Hostname;
  std::string default_certificate;  ///< an id or a name; empty only with tls = "none"
  std::map<IpAddress, LocalAddress> local;
  std::string webroot;              ///< ListenerProtocol::Acme: where the ACME client puts its challenges
  std::string backend;              ///< where all its mail goes; empty: the domains decide
  ProxyProtocol proxy_protocol = ProxyProtocol::Off;
  std::vector<Network> trusted_proxies;  ///< who may say by a PROXY header who the client is
  std::vector<Network> xclient_from;     ///< likewise by XCLIENT, and by XFORWARD for whom they forward
  std::string origin;               ///< "posternd.toml:12:1"
};

/// One `[[listen]]` with protocol = "admin": HTTP for those who watch posternd.
struct AdminListener {
  std::vector<Endpoint> addresses;
  std::vector<std::string> sockets;  ///< paths of unix sockets
  std::string token_file;            ///< empty: nobody is asked for a token
  Duration expires_within = std::chrono::hours(24 * 30);  ///< certificates that end sooner are listed one by one

  friend bool operator==(const AdminListener&, const AdminListener&) = default;
};

/// Needs a restart.
struct StartConfig {
  unsigned workers = 0;             ///< 0 = one per core
  std::string state_dir = "/var/lib/postern";
  std::string control = "/run/postern/control";  ///< path of the control socket; empty: none
  std::vector<Endpoint> dns_servers;  ///< empty: those of /etc/resolv.conf
  std::vector<AdminListener> admin;
  std::string user;                 ///< whom posternd becomes when root starts it; empty: it stays root
  std::string group;                ///< empty: the user's own
  bool sandbox = true;              ///< files and system calls that are not needed are given up
};

enum class LogLevel { Error, Warning, Info, Debug };
enum class LogFormat { Text, Json };
/// How much of a mail address is logged.
enum class LogAddresses { Full, Hash, Domain };

struct LogSettings {
  LogLevel level = LogLevel::Info;
  LogFormat format = LogFormat::Text;
  LogAddresses addresses = LogAddresses::Full;
  std::string file;                 ///< empty: stderr
};

struct ConnectionLimits {
  std::size_t connections = 20000;
  std::size_t connections_per_address = 50;
  std::size_t connections_per_network = 500;  ///< a /24, or a /64 of IPv6
};

/// `[dns]`: what `postern dns` prints beside the domains' own.
struct PublishedAddresses {
  std::vector<IpAddress> addresses;     ///< of the policy host; empty: those that its listeners are bound to
  std::optional<DnsName> policy_host;   ///< instead: the canonical name of every mta-sts.DOMAIN
};

/// Replaced by a reload. (The set of listening addresses is in `listeners` but needs a restart to change.)
struct RunConfig {
  std::string hostname;
  std::vector<Listener> listeners;
  certs::SourceSettings certificates;
  tls::TlsSettings tls;
  smtp::SmtpSettings smtp;
  std::optional<smtp::Extensions> offer;              ///< `smtp.offer`; nothing: by what the backends offer
  bool binarymime = false;                            ///< `smtp.binarymime`: one of those that depend on the backends
  ConnectionLimits connection_limits;
  Duration drain = std::chrono::seconds(30);
  Duration drain_notice = std::chrono::seconds(15);  ///< connections are still accepted after `postern drain`
  Duration final_deadline = std::chrono::minutes(8);  ///< from the client's dot to our reply
  std::size_t spill_at = 1024 * 1024;                 ///< message octets kept in memory
  std::string spill_dir;                              ///< empty: state_dir, or /var/tmp
  std::uint64_t message_memory_max = 512 * 1024 * 1024;  ///< octets of all messages together
  std::uint64_t spill_octets_max = 8'000'000'000;        ///< likewise, in files
  delivery::LedgerSettings ledger;
  LogSettings log;
  bool reverse_dns = true;
  Duration reverse_dns_within = std::chrono::seconds(3);
  report::ScoreSettings score;
  delivery::RecipientCheckSettings recipient_checks;
  delivery::HarvestSettings harvest;
  std::vector<delivery::BackendSettings> backends;
  std::vector<delivery::DomainSettings> domains;
  std::shared_ptr<mtasts::PolicyTable> policies = std::make_shared<mtasts::PolicyTable>();
  std::vector<delivery::SniRoute> routes;
  PublishedAddresses published;
  std::optional<smtp::Mailbox> postmaster;
};

struct Config {
  StartConfig start;
  RunConfig run;
  std::vector<std::string> files;   ///< the file and what it includes
};

/// Something wrong, and where: `posternd.toml:12:7: limits.recipients: expected an integer from 1 to 100000, found
/// "many"`.
struct Diagnostic {
  enum class Severity { Warning, Error };
  Severity severity = Severity::Error;
  std::string file;
  unsigned line = 0;
  unsigned column = 0;
  std::string text;

  /// One line, without the severity: the log and the tools say that in their own ways.
  std::string rendered() const;
};

struct Parsed {
  std::optional<Config> config;          ///< nothing when there is an error
  std::vector<Diagnostic> diagnostics;   ///< all of them, in order of place, not just the first
};

}  // namespace postern::config
