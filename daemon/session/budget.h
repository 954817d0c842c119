// How much all sessions of the process together may hold of messages: octets in memory, octets in spill files.
#pragma once

#include <atomic>
#include <cstdint>

namespace postern::session {

/// Shared by all workers; takes no lock. The limit comes with each request, so that a reload needs nothing but a new one.
class Budget {
 public:
  /// False, and nothing is taken, when more than `limit` would then be in use.
  bool take(std::uint64_t octets, std::uint64_t limit);
  void give_back(std::uint64_t octets) { used_.fetch_sub(octets, std::memory_order_relaxed); }
  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> used_{0};
};

/// What one holder has of a budget; given back when the holder dies. Taken in grains, so that a small message costs the
/// shared counter one operation and not one for each of its pieces.
class BudgetShare {
 public:
  static constexpr std::uint64_t grain_octets = 16 * 1024;

  BudgetShare(Budget& budget, std::uint64_t limit) : budget_(budget), limit_(limit) {}
  ~BudgetShare() { budget_.give_back(taken_); }
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;

  /// Makes the share large enough for `octets`, or smaller when fewer are held. False, and all is as it was, when the
  /// budget has no room.
  bool hold(std::uint64_t octets);

  /// Whether more than half of the budget is in use: time to go easy on it.
  bool strained() const { return budget_.used() > limit_ / 2; }
  std::uint64_t limit() const { return limit_; }

 private:
  Budget& budget_;
  std::uint64_t limit_;
  std::uint64_t taken_ = 0;
};

struct MessageBudgets {
  Budget memory;
  Budget spill;
};

}  // namespace postern::session
