// The backends of one worker: pooled connections, recipient checks, hand-offs. All on the worker's loop.
//
//   Backends            names → Backend; what is remembered of recipients, checks that are joined
//     Backend           its targets; the tasks under way, their attempts and time limits
//       BackendTarget   one target: pool, dialling, health
//         BackendConnection   a socket, TLS and a smtp::ClientSession
//   OutboundTask        what a connection is wanted for: a check, a delivery
//
// Everything here belongs to one worker, also what it thinks of a target's health, but for the places for connections and
// in the line for them (ShareTable), which workers lend each other, and what is known of domains (CatchAllTable).
//
// A task goes from target to target as long as nothing can have been delivered: not once the final dot was sent. What
// the backend has said of a recipient by then is kept; the others are deferred.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "daemon/session/body_source.h"
#include "daemon/session/catch_all_table.h"
#include "daemon/session/journal.h"
#include "daemon/session/settings.h"
#include "daemon/session/share_table.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/resolver.h"
#include "daemon/uv/work_pool.h"
#include "delivery/outcome.h"
#include "delivery/plan.h"
#include "delivery/settings.h"
#include "delivery/user_list.h"
#include "proxy/client_identity.h"
#include "smtp/client_session.h"

namespace postern::session {

using DeliveryId = std::uint64_t;

/// What became of a Delivery.
struct Delivered {
  std::vector<delivery::RecipientOutcome> outcomes;  ///< one for each recipient of the envelope, in its order
  std::string target;                                ///< the backend's name and the target that was used, for the log
  bool more_may_come = false;  ///< the backend has the whole message and is still listened to: see Delivery::late
};

/// One message for one backend.
struct Delivery {
  std::string backend;
  smtp::Envelope envelope;  ///< recipients as the backend is to be asked for them
  std::unique_ptr<BodySource> body;
  Instant final_deadline;  ///< then the recipients without an answer are deferred
  /// What the backend still said of the message when the answer had been given, of all recipients as far as it is
  /// known by then. At most once for each target that had a part of it; may be null. It lives as long as such an answer
  /// may come.
  std::function<void(const Delivered&)> late = {};
  proxy::ClientIdentity client = {};  ///< told to backends that take it from us
};

/// The answer to a recipient check.
struct Checked {
  smtp::Reply reply;
  smtp::ForwardPath to;  ///< the path that the reply is about: the route's `to`, or its `fallback`
  std::string backend;   ///< the one that gave it, and to which this recipient's mail has to go
};

/// One target of a backend on one worker, for `postern status`.
struct TargetStatus {
  std::string backend;
  std::string target;
  std::uint64_t open = 0;
  std::uint64_t idle = 0;
  std::uint64_t waiting = 0;   ///< transactions in line for a connection
  std::uint64_t failures = 0;  ///< to connect, to be greeted or to answer, since the target was configured
  std::string last_failure;
  bool up = true;              ///< false: not used until a look at it succeeds
  Duration down_for{};         ///< since it was up last, or was looked at first
};

class Backends {
 public:
  struct Options {
    std::string hostname;                          ///< what LHLO says
    std::shared_ptr<ShareTable> shares = std::make_shared<ShareTable>();  ///< of the whole process
    std::shared_ptr<CatchAllTable> catch_alls = std::make_shared<CatchAllTable>();  ///< likewise
    uv::WorkPool* key_pool = nullptr;  ///< RSA keys of client certificates are used there; null: there are none
    Duration backoff_first = std::chrono::milliseconds(100);  ///< a target that failed is not dialled for; doubles each time
    Duration backoff_max = std::chrono::seconds(30);
    Duration late_max = std::chrono::minutes(1);  ///< a connection is read on after `final_deadline`
  };
  Backends(uv::Loop& loop, uv::Resolver& resolver, Journal& journal, Options options);
  /// Only after shut_down() has called back.
  ~Backends();

  /// Takes a configuration generation; pools of targets that did not change are kept. `tls` has an entry for each
  /// backend that is spoken to under TLS.
  void configure(std::shared_ptr<const delivery::RouteTable> routes, const BackendTlsContexts& tls = {});

  /// How recipients are checked: `settings` as this worker has to keep to them, and the lists of backends that have one.
  void configure_checks(const delivery::RecipientCheckSettings& settings,
                        std::shared_ptr<const delivery::UserLists> lists);

  /// Whether there is such a recipient: see RecipientChecks. `client` is who asks, for backends that take it from us.
  /// `done` comes within the call or later, exactly once.
  void check(const delivery::RouteTable::Route& route, const smtp::ReversePath& from,
             const smtp::MailParameters& parameters, const proxy::ClientIdentity& client,
             std::function<void(Checked)> done);

  /// `done` comes exactly once, later, unless cancel() is called.
  DeliveryId deliver(Delivery delivery, std::function<void(Delivered)> done);

  /// Drops a delivery (the message is given up before its final dot was sent; if it was sent already, the connection
  /// is still read to its end). `done` is not called any more.
  void cancel(DeliveryId id);

  /// Why a message with these parameters cannot go to this backend, by what its targets offered at their last greeting.
  std::optional<smtp::Reply> cannot_carry(const std::string& backend, const smtp::MailParameters& parameters) const;

  /// A refusal for what would have to wait for this backend, when too many wait for it already.
  std::optional<smtp::Reply> too_busy(const std::string& backend) const;

  /// What each of these backends offered at its last greeting; nothing at all while one has not greeted.
  smtp::Capabilities capabilities(const std::vector<const delivery::BackendSettings*>& backends) const;

  std::vector<TargetStatus> status() const;

  /// Idle connections get QUIT, running deliveries finish; then `done`, never within the call. New checks and
  /// deliveries are answered `451 4.3.2`.
  void shut_down(std::function<void()> done);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postern::session
