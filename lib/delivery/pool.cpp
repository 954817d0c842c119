#include "delivery/pool.h"

#include <algorithm>
#include <utility>

namespace postern::delivery {

Pool::Pool(PoolLimits limits) : limits_(limits) {}

Pool::Lease Pool::lease(Instant now) {
  if (const auto connection = take_idle()) return Reuse{*connection};
  return dial_or_wait(now);
}

Pool::Lease Pool::lease_fresh(Instant now) { return dial_or_wait(now); }

Pool::Lease Pool::lease_kept() {
  if (const auto connection = take_idle()) return Reuse{*connection};
  return open_.empty() ? Lease(Full{}) : wait();
}

Pool::Lease Pool::dial_or_wait(Instant now) {
  if (open_.size() >= limits_.connections_max) return wait();
  open_.emplace_back(next_id_, now);
  return Dial{next_id_++};
}

Pool::Lease Pool::wait() {
  if (waiting_.size() >= limits_.waiters_max) return Full{};
  waiting_.push_back(next_id_);
  return Wait{next_id_++};
}

std::optional<ConnectionId> Pool::take_idle() {
  if (idle_.empty()) return std::nullopt;
  const auto connection = idle_.back().connection;
  idle_.pop_back();
  return connection;
}

std::optional<Instant> Pool::dialled_at(ConnectionId connection) const {
  const auto found =
      std::find_if(open_.begin(), open_.end(), [connection](const auto& each) { return each.first == connection; });
  return found == open_.end() ? std::nullopt : std::optional(found->second);
}

bool Pool::worn_out(ConnectionId connection, Instant now) const {
  const auto dialled = dialled_at(connection);
  return dialled && *dialled + limits_.age_max <= now;
}

std::optional<WaiterId> Pool::give_back(ConnectionId connection, Instant now) {
  if (const auto waiter = next_waiter()) return waiter;
  idle_.push_back({connection, now});
  return std::nullopt;
}

std::optional<WaiterId> Pool::lost(ConnectionId connection) {
  forget(connection);
  return next_waiter();
}

void Pool::forget(ConnectionId connection) {
  std::erase_if(idle_, [connection](const Idle& idle) { return idle.connection == connection; });
  std::erase_if(open_, [connection](const auto& each) { return each.first == connection; });
}

std::optional<WaiterId> Pool::next_waiter() {
  if (waiting_.empty()) return std::nullopt;
  const auto waiter = waiting_.front();
  waiting_.pop_front();
  return waiter;
}

void Pool::stop_waiting(WaiterId waiter) { std::erase(waiting_, waiter); }

std::vector<WaiterId> Pool::dismiss_waiters() {
  const std::vector<WaiterId> dismissed(waiting_.begin(), waiting_.end());
  waiting_.clear();
  return dismissed;
}

std::vector<ConnectionId> Pool::expire(Instant now) {
  std::vector<ConnectionId> expired;
  for (const auto& idle : idle_) {
    if (idle.since + limits_.idle_max <= now || worn_out(idle.connection, now)) expired.push_back(idle.connection);
  }
  for (const auto connection : expired) forget(connection);
  return expired;
}

std::optional<Instant> Pool::deadline() const {
  std::optional<Instant> earliest;
  for (const auto& idle : idle_) {
    const auto limit =
        std::min(idle.since + limits_.idle_max, dialled_at(idle.connection).value_or(idle.since) + limits_.age_max);
    if (!earliest || limit < *earliest) earliest = limit;
  }
  return earliest;
}

std::size_t Pool::open() const { return open_.size(); }
std::size_t Pool::idle() const { return idle_.size(); }
std::size_t Pool::waiting() const { return waiting_.size(); }

}  // namespace postern::delivery
