// Which connection a hand-off gets: decisions only, it opens nothing. One for each target and worker, within the limit
// of the whole process (ConnectionShares). Nobody waits while a connection is idle.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "delivery/connection_shares.h"

namespace postern::delivery {

using ConnectionId = std::uint64_t;
using WaiterId = std::uint64_t;

struct PoolLimits {
  std::size_t waiting_max = 1000;  ///< of all workers; then the answer is Full
  Duration idle_max = std::chrono::seconds(60);
  Duration age_max = std::chrono::minutes(10);
};

class Pool {
 public:
  /// `look` as of ConnectionShares::Member: call spare() and dial_for_waiter() then, on this thread.
  Pool(PoolLimits limits, std::shared_ptr<ConnectionShares> shares, std::function<void()> look);

  /// An idle connection, now leased.
  struct Reuse {
    ConnectionId connection;
  };
  /// Open a new one under this id; it is leased already.
  struct Dial {
    ConnectionId connection;
  };
  /// All are busy; give_back() or dial_for_waiter() will name this waiter.
  struct Wait {
    WaiterId waiter;
  };
  /// The waiting line is full.
  struct Full {};
  using Lease = std::variant<Reuse, Dial, Wait, Full>;

  enum class Dialling {
    Allowed,
    Forbidden,  ///< kept connections can still serve; Full when there are none
  };
  Lease lease(Dialling dialling, Instant now);
  /// For the retry after a kept connection failed before its first answer. Reuse only when there is no other way.
  Lease lease_fresh(Instant now);
  struct Idle {
    ConnectionId connection;
    Instant since;
  };
  /// The two ways to have a look at the target, which never wait. What was only looked at goes back with its old time.
  std::optional<Idle> take_idle();
  std::optional<ConnectionId> try_dial(Instant now);

  /// A connection to be opened for somebody who waits, when there is room for one: it is leased already.
  struct Passed {
    ConnectionId connection;
    WaiterId waiter;
  };
  std::optional<Passed> dial_for_waiter(Instant now);

  /// True when another worker should have the place of a connection that is about to be given back: close it instead.
  bool wanted_elsewhere() const;
  /// An idle connection that another worker should have the place of: removed here, to be closed by the caller.
  std::optional<ConnectionId> spare();

  /// True when the connection has reached its age limit: close it instead of give_back().
  bool worn_out(ConnectionId connection, Instant now) const;

  /// The connection is idle, since `now`. When somebody waits, it is leased to that waiter at once.
  std::optional<WaiterId> give_back(ConnectionId connection, Instant now);

  /// The connection is gone; dial_for_waiter() may have something.
  void lost(ConnectionId connection);

  void stop_waiting(WaiterId waiter);

  /// Everybody who waits, first come first; the line is empty afterwards. For a target that has died.
  std::vector<WaiterId> dismiss_waiters();

  /// Idle connections that are over their idle or age limit: removed here, to be closed (QUIT) by the caller.
  std::vector<ConnectionId> expire(Instant now);
  std::optional<Instant> deadline() const;

  /// Whether a lease would have to wait, and cannot.
  bool full() const;

  std::size_t open() const;
  std::size_t idle() const;
  std::size_t waiting() const;

 private:
  std::optional<Instant> dialled_at(ConnectionId connection) const;
  std::optional<WaiterId> next_waiter();
  ConnectionId dial(Instant now);
  Lease wait();

  PoolLimits limits_;
  ConnectionShares::Member shares_;
  std::deque<Idle> idle_;  // longest idle first; the youngest is leased first, so that what is not needed ages out
  std::deque<WaiterId> waiting_;
  std::vector<std::pair<ConnectionId, Instant>> open_;  // with the time of dialling
  std::uint64_t next_id_ = 1;
};

}  // namespace postern::delivery
