// One target of a backend: its pool of connections, their dialling, and its health, so that a dead target costs neither
// time nor log lines for every message. It looks at the target by itself: at the start, so that what it offers is known
// before the first client asks, when a pause after a failure is over, and now and then while nothing else does. Lends
// connections to tasks, which it knows by number.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "daemon/session/backend_connection.h"
#include "daemon/session/backends.h"
#include "daemon/session/host_addresses.h"
#include "delivery/health.h"
#include "delivery/pool.h"
#include "delivery/settings.h"

namespace postern::session {

using TaskId = std::uint64_t;

class BackendTarget final : private BackendConnection::Owner, public std::enable_shared_from_this<BackendTarget> {
 public:
  /// Calls about tasks that hold a connection, or wait for one. What one task gives back or drops may be another's at
  /// once: on_leased(), on_dialling() and on_turned_away() may come from within give_back() and drop(), about others.
  class Borrower {
   public:
    virtual ~Borrower() = default;
    /// A lease that was Dialling or Waiting has become a connection that is ready.
    virtual void on_leased(TaskId task) = 0;
    /// A lease that was Waiting is Dialling now.
    virtual void on_dialling(TaskId task) = 0;
    /// A lease that was Waiting has ended: there is nothing to wait for here.
    virtual void on_turned_away(TaskId task) = 0;
    /// What the session says, but for PeerReady and SessionFailed.
    virtual void on_event(TaskId task, const smtp::ClientEvent& event) = 0;
    virtual void on_room(TaskId task) = 0;

    struct Loss {
      smtp::SessionFailed failed;
      bool was_kept;   ///< the connection had been idle
      bool was_ready;  ///< it had been greeted
    };
    /// The connection, or the attempt to make one, has failed; the lease has ended.
    virtual void on_lost(TaskId task, const Loss& loss) = 0;

    /// What the target offers may have changed: see last_offered().
    virtual void on_greeted() = 0;
    /// The last connection is closed.
    virtual void on_empty() = 0;
  };

  /// The settings of all targets of a backend. References outlive the target.
  struct Environment {
    uv::Loop& loop;
    uv::Resolver& resolver;
    Journal& journal;
    const Backends::Options& options;
    const delivery::BackendSettings& backend;
    const std::shared_ptr<const tls::ClientContext>& tls;  ///< for new connections; null: none is configured
  };

  static std::shared_ptr<BackendTarget> make(const Environment& environment, delivery::Target target,
                                             std::shared_ptr<delivery::ConnectionShares> shares, Borrower& borrower);
  ~BackendTarget() override;

  enum class Freshness { Any, Fresh };
  enum class Lease {
    Ready,     ///< connection(task) may be used at once
    Dialling,  ///< on_leased() or on_lost() follows
    Waiting,   ///< on_leased(), on_dialling() or on_turned_away() follows
    Full,      ///< the waiting line is too long
    Dead,      ///< it has failed lately
  };
  Lease lease(TaskId task, Freshness freshness);

  BackendConnection& connection(TaskId task);

  /// The task has its answer; its connection is kept when its session is idle.
  void give_back(TaskId task);
  /// The task had an answer to wait for, and lost it with the connection.
  void transaction_broke(const Error& why);
  /// The task takes no more interest: its connection is closed as it is, or its place in line is free.
  void drop(TaskId task);

  /// Closes what is idle, and from now on everything that is given back.
  void close_idle();

  bool empty() const { return connections_.empty(); }
  const std::string& name() const { return name_; }
  TargetStatus status() const;
  /// Tasks that hold a connection or wait for one.
  std::size_t busy() const { return lent_.size() + waiting_.size(); }
  /// At its last greeting; nothing before the first.
  const std::optional<smtp::Capabilities>& last_offered() const { return offered_; }
  /// False: lease() says Dead.
  bool usable() const { return health_.may_dial(environment_.loop.now()) || serves(); }
  /// Where it is usable: lease() says Full.
  bool full() const { return pool_.full(); }

 private:
  BackendTarget(const Environment& environment, delivery::Target target,
                std::shared_ptr<delivery::ConnectionShares> shares, Borrower& borrower);

  enum class Look {
    None,
    Curious,  ///< nobody needs the connection: it is closed when it has been greeted
    Useful,   ///< it is kept
  };
  struct Kept {
    std::unique_ptr<BackendConnection> connection;
    std::optional<TaskId> holder;
    std::uint64_t attempt = 0;  // of Health
    Look look = Look::None;     // that is under way
    Instant idle_since{};       // before the look
    bool ready = false;
    bool has_rested = false;  // it was idle: the backend may have closed it at any time since
    bool closing = false;
  };

  void on_event(delivery::ConnectionId id, smtp::ClientEvent event) override;
  void on_room(delivery::ConnectionId id) override;
  void on_closed(delivery::ConnectionId id) override;

  Kept& dial(delivery::ConnectionId id);
  void dial_for(delivery::ConnectionId id, TaskId task);
  void connect(BackendConnection& connection, delivery::ConnectionId id);
  void resolved(delivery::ConnectionId id, const HostAddresses::Found& found);
  bool has_moved(const Kept& kept) const;
  void leave_old_addresses();
  void lend(delivery::ConnectionId id, TaskId task);
  void greeted(delivery::ConnectionId id, const smtp::PeerExtensions& extensions);
  std::optional<Error> unusable(const smtp::PeerExtensions& extensions) const;
  void alive(delivery::ConnectionId id);
  void failed(delivery::ConnectionId id, smtp::SessionFailed failed);
  void note_answer();
  void note_pause();
  std::string health_topic() const;
  void release(delivery::ConnectionId id, Instant idle_since);
  enum class Farewell { Quit, None };
  void retire(delivery::ConnectionId id, Farewell farewell);
  bool serves() const;
  void look_at_shares();
  void serve_waiters();
  void turn_waiters_away();
  TaskId take_waiter(delivery::WaiterId waiter);
  void watch_idle();
  void expire_idle();
  void look();
  void look_later();

  Environment environment_;
  delivery::Target target_;
  std::string name_;
  Borrower& borrower_;
  delivery::Pool pool_;
  std::unordered_map<delivery::ConnectionId, Kept> connections_;  // also those that are closing
  std::unordered_map<TaskId, delivery::ConnectionId> lent_;
  std::unordered_map<delivery::WaiterId, TaskId> waiting_;
  uv::Timer idle_timer_;
  uv::Timer look_timer_;
  delivery::Health health_;
  std::optional<smtp::Capabilities> offered_;
  std::optional<HostAddresses> addresses_;  // of a target that is a host name
  bool closing_ = false;
};

}  // namespace postern::session
