#include "delivery/pool.h"

#include <algorithm>
#include <utility>

namespace postern::delivery {

Pool::Pool(PoolLimits limits, std::shared_ptr<ConnectionShares> shares, std::function<void()> look)
    : limits_(limits), shares_(std::move(shares), std::move(look)) {}

Pool::Lease Pool::lease(Dialling dialling, Instant now) {
  if (const auto idle = take_idle()) return Reuse{idle->connection};
  if (dialling == Dialling::Forbidden) return open_.empty() ? Lease(Full{}) : wait();
  if (shares_.take()) return Dial{dial(now)};
  return wait();
}

Pool::Lease Pool::lease_fresh(Instant now) {
  if (shares_.take()) return Dial{dial(now)};
  if (const auto idle = take_idle()) return Reuse{idle->connection};
  return wait();
}

std::optional<ConnectionId> Pool::try_dial(Instant now) {
  if (shares_.take()) return dial(now);
  if (waiting_.empty()) shares_.stop_wanting();
  return std::nullopt;
}

std::optional<Pool::Passed> Pool::dial_for_waiter(Instant now) {
  if (waiting_.empty()) {
    shares_.stop_wanting();
    return std::nullopt;
  }
  if (!shares_.take()) return std::nullopt;
  return Passed{dial(now), *next_waiter()};
}

ConnectionId Pool::dial(Instant now) {
  open_.emplace_back(next_id_, now);
  return next_id_++;
}

bool Pool::wanted_elsewhere() const { return waiting_.empty() ? shares_.others_want() : shares_.must_yield(); }

std::optional<ConnectionId> Pool::spare() {
  if (idle_.empty() || !shares_.others_want()) return std::nullopt;
  const auto connection = idle_.front().connection;
  lost(connection);
  return connection;
}

Pool::Lease Pool::wait() {
  if (!shares_.enter_line(limits_.waiting_max)) {
    if (waiting_.empty()) shares_.stop_wanting();
    return Full{};
  }
  waiting_.push_back(next_id_);
  return Wait{next_id_++};
}

std::optional<Pool::Idle> Pool::take_idle() {
  if (idle_.empty()) return std::nullopt;
  const auto idle = idle_.back();
  idle_.pop_back();
  return idle;
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
  if (const auto waiter = next_waiter()) {
    if (waiting_.empty()) shares_.stop_wanting();
    return waiter;
  }
  idle_.push_back({connection, now});
  return std::nullopt;
}

void Pool::lost(ConnectionId connection) {
  std::erase_if(idle_, [connection](const Idle& idle) { return idle.connection == connection; });
  if (std::erase_if(open_, [connection](const auto& each) { return each.first == connection; }) > 0) {
    shares_.give_back();
  }
}

std::optional<WaiterId> Pool::next_waiter() {
  if (waiting_.empty()) return std::nullopt;
  const auto waiter = waiting_.front();
  waiting_.pop_front();
  shares_.leave_line(1);
  return waiter;
}

void Pool::stop_waiting(WaiterId waiter) {
  shares_.leave_line(std::erase(waiting_, waiter));
  if (waiting_.empty()) shares_.stop_wanting();
}

std::vector<WaiterId> Pool::dismiss_waiters() {
  const std::vector<WaiterId> dismissed(waiting_.begin(), waiting_.end());
  shares_.leave_line(waiting_.size());
  waiting_.clear();
  shares_.stop_wanting();
  return dismissed;
}

std::vector<ConnectionId> Pool::expire(Instant now) {
  std::vector<ConnectionId> expired;
  for (const auto& idle : idle_) {
    if (idle.since + limits_.idle_max <= now || worn_out(idle.connection, now)) expired.push_back(idle.connection);
  }
  for (const auto connection : expired) lost(connection);
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

bool Pool::full() const { return idle_.empty() && shares_.line_is_full(limits_.waiting_max) && shares_.all_taken(); }

std::size_t Pool::open() const { return open_.size(); }
std::size_t Pool::idle() const { return idle_.size(); }
std::size_t Pool::waiting() const { return waiting_.size(); }

}  // namespace postern::delivery
