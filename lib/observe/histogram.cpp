#include "observe/histogram.h"

#include <algorithm>

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

}  // namespace postern::observe
