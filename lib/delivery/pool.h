// Which connection a hand-off gets: decisions only, it opens nothing. One for each target and worker. Nobody waits
// while a connection is idle.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <variant>
#include <vector>

#include "base/instant.h"

namespace postern::delivery {

using ConnectionId = std::uint64_t;
using WaiterId = std::uint64_t;

struct PoolLimits {
  std::size_t connections_max = 20;
  std::size_t waiters_max = 1000;  ///< then the answer is Full
  Duration idle_max = std::chrono::seconds(60);
  Duration age_max = std::chrono::minutes(10);
};

class Pool {
 public:
  explicit Pool(PoolLimits limits);

  /// An idle connection, now leased.
  struct Reuse {
    ConnectionId connection;
  };
  /// Open a new one under this id; it is leased already.
  struct Dial {
    ConnectionId connection;
  };
  /// All are busy; give_back() or lost() will name this waiter.
  struct Wait {
    WaiterId waiter;
  };
  /// The waiting line is full.
  struct Full {};
  using Lease = std::variant<Reuse, Dial, Wait, Full>;

  Lease lease(Instant now);
  /// Always Dial or Full/Wait: for the retry after a kept connection failed before its first answer.
  Lease lease_fresh(Instant now);

  /// Never Dial: while a target is not to be dialled, its kept connections can still serve. Full when there are none.
  Lease lease_kept();

  /// True when the connection has reached its age limit: close it instead of give_back().
  bool worn_out(ConnectionId connection, Instant now) const;

  /// The connection is idle again. When somebody waits, it is leased to that waiter at once.
  std::optional<WaiterId> give_back(ConnectionId connection, Instant now);

  /// The connection is gone. When somebody waits, a place is free: the waiter should call lease() again.
  std::optional<WaiterId> lost(ConnectionId connection);

  void stop_waiting(WaiterId waiter);

  /// Everybody who waits, first come first; the line is empty afterwards. For a target that has died.
  std::vector<WaiterId> dismiss_waiters();

  /// Idle connections that are over their idle or age limit: removed here, to be closed (QUIT) by the caller.
  std::vector<ConnectionId> expire(Instant now);
  std::optional<Instant> deadline() const;

  std::size_t open() const;
  std::size_t idle() const;
  std::size_t waiting() const;

 private:
  std::optional<ConnectionId> take_idle();
  void forget(ConnectionId connection);
  std::optional<Instant> dialled_at(ConnectionId connection) const;
  std::optional<WaiterId> next_waiter();
  Lease dial_or_wait(Instant now);
  Lease wait();

  struct Idle {
    ConnectionId connection;
    Instant since;
  };
  PoolLimits limits_;
  std::deque<Idle> idle_;  // longest idle first; the youngest is leased first, so that what is not needed ages out
  std::deque<WaiterId> waiting_;
  std::vector<std::pair<ConnectionId, Instant>> open_;  // with the time of dialling
  std::uint64_t next_id_ = 1;
};

}  // namespace postern::delivery
