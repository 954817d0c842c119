// The pass-through backends of one worker: which target a session is to try, its connections, and what the backends have
// offered. Backends with a mail store behind them are in backends.h.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "daemon/session/backends.h"
#include "daemon/session/host_addresses.h"
#include "daemon/session/relay_link.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"
#include "delivery/plan.h"
#include "relay/offers.h"

namespace postern::session {

class RelayBackends {
 public:
  /// `hostname` is what the EHLO of a first look says.
  RelayBackends(uv::Loop& loop, uv::Resolver& resolver, std::string hostname);
  /// Only after shut_down() has called back.
  ~RelayBackends();

  /// Takes a configuration generation. A backend whose offers are not known is asked for them.
  void configure(std::shared_ptr<const delivery::RouteTable> routes);

  /// The targets of a backend in the order to try: as they stand, those that have just failed last.
  std::vector<delivery::Target> targets(const delivery::BackendSettings& backend) const;

  /// Starts to connect. The link lives until it was closed or has failed.
  RelayLink& dial(const delivery::Target& target, const delivery::BackendTimeouts& timeouts, RelayLink::Owner& owner);

  /// How it went with a target, so that the next session need not find out.
  void target_failed(const delivery::Target& target);
  void target_works(const delivery::Target& target);

  /// Of every target, as Backends::status() has it.
  std::vector<TargetStatus> status() const;

  void learnt(const std::string& backend, relay::Offers offers);
  /// What all of `backends` offer, as far as it is known.
  relay::Offers offers(const std::vector<const delivery::BackendSettings*>& backends) const;

  /// No link is left; then `done`, never within the call.
  void shut_down(std::function<void()> done);

 private:
  class Probe;
  struct Failure {
    Instant since;  ///< the first one after it had worked
    Instant rests_until;
  };

  const Failure* resting(const std::string& target) const;
  void probe_unknown();
  HostAddresses* host_of(const delivery::Target& target, Duration connect_max);
  void link_closed(RelayLink& link);
  void tell_if_empty();

  uv::Loop& loop_;
  uv::Resolver& resolver_;
  std::string hostname_;
  std::shared_ptr<const delivery::RouteTable> routes_;
  std::unordered_map<RelayLink*, std::unique_ptr<RelayLink>> links_;
  std::map<std::string, relay::Offers> offers_;        // by backend
  std::map<std::string, Failure> failed_;              // by target; entries go with their targets
  std::map<std::string, HostAddresses> hosts_;         // by target, as they are dialled
  std::map<std::string, std::unique_ptr<Probe>> probes_;
  uv::Timer probe_timer_;
  uv::Timer empty_timer_;
  std::function<void()> on_shut_down_;
};

}  // namespace postern::session
