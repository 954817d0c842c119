#include "observe/histogram.h"

#include <algorithm>
#include <numeric>

namespace postern::observe {

void Histogram::count(Duration duration) {
  const double seconds = std::chrono::duration<double>(std::max(duration, Duration::zero())).count();
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), seconds) - bounds_.begin();
  ++buckets_[static_cast<std::size_t>(bucket)];
  sum_seconds_ += seconds;
}

void Histogram::add(const Histogram& other) {
  for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
  sum_seconds_ += other.sum_seconds_;
}

Histogram Histogram::since(const Histogram& earlier) const {
  Histogram made(bounds_);
  for (std::size_t i = 0; i < buckets_.size(); ++i) made.buckets_[i] = buckets_[i] - earlier.buckets_[i];
  made.sum_seconds_ = sum_seconds_ - earlier.sum_seconds_;
  return made;
}

std::uint64_t Histogram::total() const { return std::accumulate(buckets_.begin(), buckets_.end(), std::uint64_t{0}); }

double Histogram::quantile(double share) const {
  const double wanted = share * static_cast<double>(total());
  double below = 0, low = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    const auto here = static_cast<double>(buckets_[i]);
    if (here > 0 && below + here >= wanted) return low + (bounds_[i] - low) * (wanted - below) / here;
    below += here;
    low = bounds_[i];
  }
  return total() == 0 ? 0 : low;
}

}  // namespace postern::observe
