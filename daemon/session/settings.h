// What sessions need of the running configuration and of the certificates. Both are immutable generations that app/
// publishes: a session takes the configuration anew at each MAIL and the certificates at each handshake.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/instant.h"
#include "certs/snapshot.h"
#include "daemon/session/connection_limits.h"
#include "delivery/ledger.h"
#include "delivery/plan.h"
#include "delivery/user_list.h"
#include "mtasts/policy_host.h"
#include "report/settings.h"
#include "report/sts.h"
#include "smtp/extensions.h"
#include "smtp/settings.h"
#include "tls/context.h"

namespace postern::session {

enum class ListenerTls { None, Starttls, Implicit };
enum class ListenerProtocol { Smtp, MtaSts, Acme };
enum class GreetAs { Hostname, Sni };

/// Whether connections begin with a PROXY header.
enum class ProxyProtocol { Off, Required };

/// What differs for one local address of a listener.
struct LocalAddressSettings {
  std::optional<std::string> hostname;
  std::optional<std::string> default_certificate;
};

struct ListenerSettings {
  ListenerProtocol protocol = ListenerProtocol::Smtp;
  ListenerTls tls = ListenerTls::Starttls;
  std::string hostname;
  GreetAs greet_as = GreetAs::Hostname;
  std::string default_certificate;
  std::map<IpAddress, LocalAddressSettings> local;
  std::string webroot;  ///< Acme
  std::string backend;                    ///< where all its mail goes; empty: the domains decide
  ProxyProtocol proxy_protocol = ProxyProtocol::Off;
  std::vector<Network> trusted_proxies;   ///< who may say who the client is
  std::vector<Network> xclient_from;      ///< likewise by XCLIENT and XFORWARD
  std::string origin;  ///< where it stands in the configuration, for messages: "posternd.toml:12:1"

  const std::string& hostname_at(const IpAddress& local_address) const;
  /// All the names that it goes by: whoever trusts one of them behind us trusts it wherever it came in.
  std::vector<std::string> hostnames() const;
  const std::string& default_certificate_at(const IpAddress& local_address) const;
};

/// Of the backends that are spoken to under TLS, by name.
using BackendTlsContexts = std::map<std::string, std::shared_ptr<const tls::ClientContext>>;

/// One generation of the configuration.
struct RunSettings {
  std::uint64_t generation = 0;
  std::map<Endpoint, ListenerSettings> listeners;  ///< by listening address
  smtp::SmtpSettings smtp;
  bool reverse_dns = true;  ///< clients are asked about
  Duration reverse_dns_within = std::chrono::seconds(3);
  std::optional<smtp::Extensions> offer;  ///< nothing: as far as every backend offered them
  bool binarymime = false;                ///< whether that includes BINARYMIME
  ConnectionLimits connection_limits;
  Duration final_deadline = std::chrono::minutes(8);
  Duration drain_notice = std::chrono::seconds(15);  ///< connections are still accepted after `postern drain`
  Duration drain = std::chrono::seconds(30);  ///< how long sessions may go on after a signal to end
  std::size_t spill_at = 1024 * 1024;
  std::string spill_dir;
  std::uint64_t message_memory_max = 512 * 1024 * 1024;  ///< octets of all messages together, for the process
  std::uint64_t spill_octets_max = 8'000'000'000;        ///< likewise, in files
  delivery::LedgerSettings ledger;
  std::shared_ptr<const delivery::RouteTable> routes;
  BackendTlsContexts backend_tls;
  delivery::RecipientCheckSettings recipient_checks;
  delivery::HarvestSettings harvest;
  delivery::UserLists users;  ///< of backends that have RecipientCheck::Listed
  std::shared_ptr<const mtasts::PolicyTable> policies;  ///< never null
  report::ScoreSettings score;
  std::shared_ptr<const report::MxTable> mx = std::make_shared<report::MxTable>();
};

/// Says whether the public would follow a chain of ours.
class ChainJudge {
 public:
  virtual ~ChainJudge() = default;
  /// From any thread; half a millisecond.
  virtual bool vouch_for(const tls::Credential& credential, WallTime now) const = 0;
};

/// One generation of what handshakes need.
struct TlsGeneration {
  std::shared_ptr<const certs::Snapshot> snapshot;
  /// Where the defaults of the listeners are found: `snapshot`, or an older one while a default is missing there.
  std::shared_ptr<const certs::Snapshot> default_snapshot;
  std::map<Endpoint, std::shared_ptr<const tls::ServerContext>> contexts;  ///< by listening address; none without TLS
  std::shared_ptr<const ChainJudge> chain_judge;  ///< null: nothing can be said about chains
};

}  // namespace postern::session
