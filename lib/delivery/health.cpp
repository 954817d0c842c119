#include "delivery/health.h"

#include <algorithm>
#include <utility>

namespace postern::delivery {

bool Health::may_dial(Instant now) const {
  return state_ == State::Up || (state_ == State::Down && retry_at_ <= now);
}

std::uint64_t Health::dialled() {
  ++attempts_;
  if (state_ == State::Down) {
    state_ = State::Trying;
    trial_ = attempts_;
  }
  return attempts_;
}

bool Health::answered() {
  pause_ = limits_.pause_first;
  return std::exchange(state_, State::Up) != State::Up;
}

bool Health::failed(std::uint64_t attempt, Instant now, std::string why) {
  ++failures_;
  if (attempt <= known_failure_ && attempt != trial_) {
    last_failure_ = std::move(why);
    return false;
  }
  go_down(now, std::move(why));
  return true;
}

void Health::abandoned(std::uint64_t attempt) {
  if (state_ == State::Trying && attempt == trial_) state_ = State::Down;
}

bool Health::transaction_broke(Instant now, std::string why) {
  if (state_ != State::Up || ++broken_transactions_ < limits_.broken_transactions_max) return false;
  ++failures_;
  go_down(now, std::move(why));
  return true;
}

void Health::go_down(Instant now, std::string why) {
  if (std::exchange(state_, State::Down) == State::Up) down_since_ = now;
  broken_transactions_ = 0;
  known_failure_ = attempts_;
  pause_began_ = now;
  retry_at_ = now + pause_;
  pause_ = std::min(pause_ * 2, limits_.pause_max);
  last_failure_ = std::move(why);
}

std::optional<Instant> Health::down_since() const {
  return state_ == State::Up ? std::nullopt : std::optional(down_since_);
}

std::optional<Instant> Health::retry_at() const {
  return state_ == State::Down ? std::optional(retry_at_) : std::nullopt;
}

}  // namespace postern::delivery
