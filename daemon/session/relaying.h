// A passed-through session: relay::Relay with a connection to its backend. Decisions are the Relay's; this class dials,
// says who the client is, and moves octets.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "daemon/session/relay_backends.h"
#include "daemon/session/relay_link.h"
#include "daemon/session/reverse_dns.h"
#include "daemon/session/settings.h"
#include "daemon/uv/loop.h"
#include "proxy/header.h"
#include "relay/relay.h"
#include "smtp/server_session.h"

namespace postern::session {

/// Who the client is, for the backend.
struct RelayedClient {
  Endpoint source;
  Endpoint destination;
  std::optional<ClientDnsName> name;   ///< absent: DNS is being asked
  std::string server_name;             ///< SNI, raw
  std::string alpn;
  std::optional<proxy::TlsFacts> tls;  ///< absent in clear
  std::string id;                      ///< of the session
  relay::Offers offers;                ///< what it may use of ours, besides what the backend offers
};

class Relaying final : private RelayLink::Owner {
 public:
  struct Surroundings {
    uv::Loop& loop;
    RelayBackends& backends;
    std::function<void()> wake;  ///< something has happened: call next(), and handle the client's session again
  };
  /// `decided` is the backend of the whole session, null where each recipient's domain decides. It lives as long as `settings`.
  Relaying(Surroundings surroundings, std::shared_ptr<const RunSettings> settings,
           const delivery::BackendSettings* decided, RelayedClient client, smtp::TlsState tls, std::string hostname);
  ~Relaying() override;

  /// The client's greeting is the backend's (relay::Greet).
  bool greets_client() const { return machine_.greets_client(); }

  /// The client's side; after calls on it call next() and flush().
  relay::Relay& machine() { return machine_; }

  /// STARTTLS has succeeded, and the server name may have decided anew.
  void tls_started(std::shared_ptr<const RunSettings> settings, const delivery::BackendSettings* decided,
                   RelayedClient client, std::string hostname);

  /// DNS has said who the client is; a backend that is to be told so has waited for it.
  void named(const ClientDnsName& name);

  /// Where a recipient goes when nothing else decides.
  relay::Route route(const smtp::ForwardPath& to) const;

  /// The settings of the backend that the link is to; else of the decided one; null when neither is known.
  const delivery::BackendSettings* backend() const;

  /// What is left to do for the client's session: Answer, AnswerHello, Greet, Trouble.
  std::optional<relay::Action> next();
  void flush();
  bool congested() const { return machine_.congested(link_ != nullptr ? link_->unsent() : 0); }

  /// The session ends.
  void leave();

 private:
  void on_link_connected() override;
  void on_link_bytes(std::string_view bytes) override;
  void on_link_drained() override { surroundings_.wake(); }
  void on_link_lost(const std::string& why) override;

  relay::RelayOptions options(smtp::TlsState tls) const;
  void dial(const relay::Connect& connect);
  void disconnect(const relay::Disconnect& disconnect);
  relay::BackendOptions identity(const delivery::BackendSettings& backend) const;
  void watch_time();

  Surroundings surroundings_;
  std::shared_ptr<const RunSettings> settings_;
  const delivery::BackendSettings* decided_;
  RelayedClient client_;
  std::string hostname_;
  relay::Relay machine_;
  std::vector<delivery::Target> targets_;  // of the connection that comes to be
  std::optional<delivery::Target> target_;
  std::optional<relay::Connect> waiting_for_name_;
  RelayLink* link_ = nullptr;
  bool greeted_ = false;                   // something came over the link
  uv::Timer timer_;
};

}  // namespace postern::session
