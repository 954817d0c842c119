// Durations counted by their size, in the buckets that a metrics system wants. One writer, no lock.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/instant.h"

namespace postern::observe {

class Histogram {
 public:
  /// `bounds_seconds`: the inclusive upper bounds of the buckets, rising, and with static storage; one more takes what is
  /// above the last.
  explicit Histogram(std::span<const double> bounds_seconds)
      : bounds_(bounds_seconds), buckets_(bounds_seconds.size() + 1) {}

  void count(Duration duration);
  /// What another histogram with the same bounds has counted.
  void add(const Histogram& other);

  /// What was counted since `earlier`, which is this histogram at another time.
  Histogram since(const Histogram& earlier) const;

  std::uint64_t total() const;
  /// The duration below which `share` (0 to 1) of the counted ones are, in seconds: as if those of a bucket lay evenly in
  /// it, and those above the last bound at it. 0: nothing was counted.
  double quantile(double share) const;

  std::span<const double> bounds() const { return bounds_; }
  /// How many fell into each bucket, not cumulative; one more than bounds().
  std::span<const std::uint64_t> buckets() const { return buckets_; }
  double sum_seconds() const { return sum_seconds_; }

 private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> buckets_;
  double sum_seconds_ = 0;
};

}  // namespace postern::observe
