// Counters over the last hour, day and week. They are kept by ten minutes for an hour, by the hour for a day and by the
// day for a week, and only where something was counted; so a window reaches back up to one such step more than it says.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "base/instant.h"

namespace postern::report {

/// One counter for each value of an enumeration of `size` values.
template <class Key, std::size_t size>
struct Counts {
  static constexpr std::size_t count = size;
  std::array<std::uint32_t, size> of{};

  std::uint32_t& operator[](Key key) { return of[static_cast<std::size_t>(key)]; }
  std::uint32_t operator[](Key key) const { return of[static_cast<std::size_t>(key)]; }
  void add(const Counts& more) {
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint64_t sum = std::uint64_t{of[i]} + more.of[i];
      of[i] = static_cast<std::uint32_t>(std::min<std::uint64_t>(sum, std::numeric_limits<std::uint32_t>::max()));
    }
  }
  friend bool operator==(const Counts&, const Counts&) = default;
};

enum class Window : std::uint8_t { Hour, Day, Week };

template <class C>
class Windowed {
 public:
  using seconds = std::chrono::seconds;
  static constexpr seconds steps[] = {std::chrono::minutes(10), std::chrono::hours(1), std::chrono::hours(24)};
  static constexpr seconds reach[] = {std::chrono::hours(1), std::chrono::hours(24), std::chrono::hours(7 * 24)};

  struct Slot {
    WallTime start{};
    seconds length{};
    C counts;
    friend bool operator==(const Slot&, const Slot&) = default;
  };

  C& at(WallTime now) { return slot(now, steps[0]); }

  /// Puts together what is older than the finer steps reach, and forgets what is older than `retention`.
  void age(WallTime now, Duration retention) {
    auto old = std::exchange(slots_, {});
    for (const Slot& each : old) {
      const WallTime end = each.start + each.length;
      if (end + std::chrono::duration_cast<seconds>(retention) <= now) continue;
      seconds length = each.length;
      for (std::size_t step = 0; step + 1 < std::size(steps); ++step) {
        if (length == steps[step] && end + reach[step] <= now) length = steps[step + 1];
      }
      slot(each.start, length).add(each.counts);
    }
  }

  /// After age().
  C sum(WallTime now, Window window) const {
    const auto which = static_cast<std::size_t>(window);
    C total;
    for (const Slot& each : slots_) {
      if (each.length <= steps[which] && each.start + each.length + reach[which] > now) total.add(each.counts);
    }
    return total;
  }

  const std::vector<Slot>& slots() const { return slots_; }
  void restore(std::vector<Slot> slots) { slots_ = std::move(slots); }
  friend bool operator==(const Windowed&, const Windowed&) = default;

 private:
  C& slot(WallTime time, seconds length) {
    const auto since = time.time_since_epoch();
    const WallTime start{since - since % length};
    const auto found = std::find_if(slots_.rbegin(), slots_.rend(),
                                    [&](const Slot& each) { return each.start == start && each.length == length; });
    if (found != slots_.rend()) return found->counts;
    slots_.push_back({start, length, {}});
    return slots_.back().counts;
  }

  std::vector<Slot> slots_;
};

}  // namespace postern::report
