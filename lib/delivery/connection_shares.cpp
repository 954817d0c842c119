#include "delivery/connection_shares.h"

#include <algorithm>
#include <utility>

namespace postern::delivery {

void ConnectionShares::limit(std::size_t connections_max) {
  const std::lock_guard lock(mutex_);
  connections_max_ = connections_max;
  wake_who_wants();
}

ConnectionShares::Member* ConnectionShares::first_who_wants() const {
  Member* first = nullptr;
  for (Member* member : members_) {
    if (member->wants_since_ != 0 && (first == nullptr || member->wants_since_ < first->wants_since_)) first = member;
  }
  return first;
}

/// Under the lock. One at a time: whoever has taken a share and needs another gets in line again.
void ConnectionShares::wake_who_wants() {
  Member* const first = first_who_wants();
  if (first != nullptr && taken_ < connections_max_) first->look_();
}

ConnectionShares::Member::Member(std::shared_ptr<ConnectionShares> shares, std::function<void()> look)
    : shares_(std::move(shares)), look_(std::move(look)) {
  const std::lock_guard lock(shares_->mutex_);
  shares_->members_.push_back(this);
}

ConnectionShares::Member::~Member() {
  stop_wanting();
  leave_line(in_line_);
  const std::lock_guard lock(shares_->mutex_);
  shares_->members_.remove(this);
  shares_->taken_ -= held_;
  if (held_ > 0) shares_->wake_who_wants();
}

bool ConnectionShares::Member::take() {
  const std::lock_guard lock(shares_->mutex_);
  const Member* const first = shares_->first_who_wants();
  const bool my_turn = first == nullptr || first == this || held_ < shares_->equal_part();
  if (my_turn && shares_->taken_ < shares_->connections_max_) {
    ++shares_->taken_;
    ++held_;
    if (std::exchange(wants_since_, 0) != 0) shares_->wanting_.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }
  if (wants_since_ != 0) return false;
  wants_since_ = ++shares_->tickets_;
  shares_->wanting_.fetch_add(1, std::memory_order_relaxed);
  for (Member* other : shares_->members_) {
    if (other != this && other->held_ > 0) other->look_();
  }
  return false;
}

void ConnectionShares::Member::give_back() {
  const std::lock_guard lock(shares_->mutex_);
  --held_;
  --shares_->taken_;
  shares_->wake_who_wants();
}

void ConnectionShares::Member::stop_wanting() {
  if (wants_since_ == 0) return;
  const std::lock_guard lock(shares_->mutex_);
  wants_since_ = 0;
  shares_->wanting_.fetch_sub(1, std::memory_order_relaxed);
  // The share that it may have been told of is another's then.
  shares_->wake_who_wants();
}

bool ConnectionShares::Member::enter_line(std::size_t waiting_max) {
  if (shares_->in_line_.fetch_add(1, std::memory_order_relaxed) >= waiting_max) {
    shares_->in_line_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  ++in_line_;
  return true;
}

void ConnectionShares::Member::leave_line(std::size_t count) {
  shares_->in_line_.fetch_sub(count, std::memory_order_relaxed);
  in_line_ -= count;
}

bool ConnectionShares::Member::line_is_full(std::size_t waiting_max) const {
  return shares_->in_line_.load(std::memory_order_relaxed) >= waiting_max;
}

bool ConnectionShares::Member::others_want() const {
  if (shares_->wanting_.load(std::memory_order_relaxed) <= (wants_since_ != 0 ? 1u : 0u)) return false;
  return all_taken();
}

bool ConnectionShares::Member::all_taken() const {
  const std::lock_guard lock(shares_->mutex_);
  return shares_->taken_ >= shares_->connections_max_;
}

bool ConnectionShares::Member::must_yield() const {
  if (!others_want()) return false;
  const std::lock_guard lock(shares_->mutex_);
  // Where there are fewer connections than workers an equal part is nothing: they take turns.
  return held_ > shares_->equal_part();
}

}  // namespace postern::delivery
