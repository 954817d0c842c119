// One address of a backend: its pool of connections, their dialling, and a pause after failures (back-off), so that a
// dead target costs neither time nor log lines for every message. Lends connections to tasks, which it knows by number.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "daemon/session/backend_connection.h"
#include "daemon/session/backends.h"
#include "delivery/pool.h"
#include "delivery/settings.h"

namespace postern::session {

using TaskId = std::uint64_t;

class BackendTarget final : private BackendConnection::Owner, public std::enable_shared_from_this<BackendTarget> {
 public:
  /// Calls about tasks that hold a connection, or wait for one. What one task gives back or drops may be another's at
  /// once: on_leased() and on_turn() may come from within give_back() and drop(), about other tasks.
  class Borrower {
   public:
    virtual ~Borrower() = default;
    /// A lease that was Dialling or Waiting has become a connection that is ready.
    virtual void on_leased(TaskId task) = 0;
    /// A lease that was Waiting has ended: lease again, or elsewhere.
    virtual void on_turn(TaskId task) = 0;
    /// What the session says, but for PeerReady and SessionFailed.
    virtual void on_event(TaskId task, const smtp::ClientEvent& event) = 0;
    virtual void on_room(TaskId task) = 0;

    struct Loss {
      smtp::SessionFailed failed;
      bool was_kept;   ///< the connection had served before
      bool was_ready;  ///< it had been greeted
    };
    /// The connection, or the attempt to make one, has failed; the lease has ended.
    virtual void on_lost(TaskId task, const Loss& loss) = 0;

    virtual void on_greeted(const smtp::PeerExtensions& extensions) = 0;
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

  BackendTarget(const Environment& environment, delivery::Target target, Borrower& borrower);
  ~BackendTarget() override;

  enum class Freshness { Any, Fresh };
  enum class Lease {
    Ready,     ///< connection(task) may be used at once
    Dialling,  ///< on_leased() or on_lost() follows
    Waiting,   ///< on_leased() or on_turn() follows
    Full,      ///< the waiting line is too long
    Dead,      ///< it has failed lately
  };
  Lease lease(TaskId task, Freshness freshness);

  BackendConnection& connection(TaskId task);

  /// The task is done; its connection is kept when its session is idle.
  void give_back(TaskId task);
  /// The task takes no more interest: its connection is closed as it is, or its place in line is free.
  void drop(TaskId task);

  /// Closes what is idle, and from now on everything that is given back.
  void close_idle();

  bool empty() const { return connections_.empty(); }
  const std::string& name() const { return name_; }
  TargetStatus status() const;
  /// While the target is not dialled.
  std::optional<Instant> retry_at() const;

 private:
  struct Kept {
    std::unique_ptr<BackendConnection> connection;
    std::optional<TaskId> holder;
    bool ready = false;
    bool has_served = false;
    bool closing = false;
  };

  void on_event(delivery::ConnectionId id, smtp::ClientEvent event) override;
  void on_room(delivery::ConnectionId id) override;
  void on_closed(delivery::ConnectionId id) override;

  void dial(delivery::ConnectionId id, TaskId task);
  void resolved(delivery::ConnectionId id, const Result<uv::Resolved>& found);
  void lend(delivery::ConnectionId id, TaskId task);
  void greeted(delivery::ConnectionId id, const smtp::PeerExtensions& extensions);
  void failed(delivery::ConnectionId id, smtp::SessionFailed failed);
  void back_off(const Error& error);
  void release(delivery::ConnectionId id);
  enum class Farewell { Quit, None };
  void retire(delivery::ConnectionId id, Farewell farewell);
  void wake(std::optional<delivery::WaiterId> waiter);
  void watch_idle();
  void expire_idle();

  Environment environment_;
  delivery::Target target_;
  std::string name_;
  Borrower& borrower_;
  delivery::Pool pool_;
  std::unordered_map<delivery::ConnectionId, Kept> connections_;  // also those that are closing
  std::unordered_map<TaskId, delivery::ConnectionId> lent_;
  std::unordered_map<delivery::WaiterId, TaskId> waiting_;
  uv::Timer idle_timer_;
  std::optional<Instant> retry_at_;
  Duration backoff_{};  // of the next failure
  std::uint64_t failures_ = 0;
  std::string last_failure_;
  bool closing_ = false;
};

}  // namespace postern::session
