// Whether one target of a backend is worth a connection: what has been seen of it (failures to connect, to be greeted, to
// answer NOOP; transactions that broke off one after the other), and when it is to be tried again. What it says of a
// message or a recipient is no matter of health. Decisions only; one for each target and worker.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/instant.h"

namespace postern::delivery {

struct HealthLimits {
  Duration pause_first = std::chrono::milliseconds(100);  ///< after the first failure; doubles with each
  Duration pause_max = std::chrono::seconds(30);
  unsigned broken_transactions_max = 3;  ///< in a row, on connections that had been made well
};

class Health {
 public:
  explicit Health(HealthLimits limits) : limits_(limits), pause_(limits.pause_first) {}

  enum class State {
    Up,
    Down,    ///< not to be dialled before retry_at()
    Trying,  ///< one connection is being tried (half-open); the others wait for what becomes of it
  };
  State state() const { return state_; }

  /// When it is down and its pause is over, the one who asks first may dial.
  bool may_dial(Instant now) const;

  /// A connection is being made. Hand back what this returns with the outcome.
  std::uint64_t dialled();

  /// It was greeted, or an idle connection has answered a NOOP. True when the target had been down.
  bool answered();

  /// The attempt failed. True when this ends in a (new) pause: connections that were dialled before a failure that is
  /// known already say nothing new.
  bool failed(std::uint64_t attempt, Instant now, std::string why);

  /// The attempt was given up for reasons of ours.
  void abandoned(std::uint64_t attempt);

  /// A transaction has had its answers, whatever they were.
  void transaction_answered() { broken_transactions_ = 0; }
  /// A transaction broke off with its connection. True when that makes the target down.
  bool transaction_broke(Instant now, std::string why);

  /// While it is down.
  std::optional<Instant> retry_at() const;
  /// Of the pause that failed() or transaction_broke() began.
  Duration pause() const { return retry_at_ - pause_began_; }
  /// The failure that ended its being up; none while it is.
  std::optional<Instant> down_since() const;

  std::uint64_t failures() const { return failures_; }
  const std::string& last_failure() const { return last_failure_; }

 private:
  void go_down(Instant now, std::string why);

  HealthLimits limits_;
  State state_ = State::Up;
  Duration pause_;  // the next one
  Instant down_since_{};
  Instant pause_began_{};
  Instant retry_at_{};
  std::uint64_t attempts_ = 0;
  std::uint64_t trial_ = 0;         // the attempt that decides, while Trying
  std::uint64_t known_failure_ = 0; // attempts up to this one are from before the last failure
  unsigned broken_transactions_ = 0;
  std::uint64_t failures_ = 0;
  std::string last_failure_;
};

}  // namespace postern::delivery
