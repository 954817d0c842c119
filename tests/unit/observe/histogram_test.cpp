#include "observe/histogram.h"

#include <array>
#include <vector>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::observe;

namespace {

constexpr std::array<double, 2> bounds{0.1, 1};

std::vector<std::uint64_t> buckets(const Histogram& histogram) {
  return {histogram.buckets().begin(), histogram.buckets().end()};
}

}  // namespace

TEST_CASE("a bound belongs to the bucket below it; what is above the last has its own") {
  Histogram histogram(bounds);
  histogram.count(std::chrono::milliseconds(100));
  histogram.count(std::chrono::microseconds(100'001));
  histogram.count(std::chrono::hours(1));
  histogram.count(std::chrono::seconds(-1));  // a clock that went back
  CHECK(buckets(histogram) == std::vector<std::uint64_t>{2, 1, 1});
  CHECK(histogram.sum_seconds() == Approx(3600.200001));
}

TEST_CASE("histograms add up") {
  Histogram sum(bounds), more(bounds);
  sum.count(std::chrono::milliseconds(1));
  more.count(std::chrono::milliseconds(1));
  more.count(std::chrono::seconds(2));
  sum.add(more);
  CHECK(buckets(sum) == std::vector<std::uint64_t>{2, 0, 1});
  CHECK(sum.sum_seconds() == Approx(2.002));
}

TEST_CASE("quantiles lie in their bucket, in proportion") {
  Histogram histogram(bounds);
  CHECK(histogram.quantile(0.5) == 0);
  for (int i = 0; i < 90; ++i) histogram.count(std::chrono::milliseconds(1));
  for (int i = 0; i < 10; ++i) histogram.count(std::chrono::milliseconds(500));
  CHECK(histogram.total() == 100);
  CHECK(histogram.quantile(0.45) == Approx(0.05));
  CHECK(histogram.quantile(0.9) == Approx(0.1));
  CHECK(histogram.quantile(0.95) == Approx(0.55));
  histogram.count(std::chrono::hours(1));
  CHECK(histogram.quantile(1) == 1);
}

TEST_CASE("what came since then") {
  Histogram histogram(bounds);
  histogram.count(std::chrono::seconds(2));
  const Histogram earlier = histogram;
  histogram.count(std::chrono::milliseconds(500));
  CHECK(buckets(histogram.since(earlier)) == std::vector<std::uint64_t>{0, 1, 0});
  CHECK(histogram.since(earlier).sum_seconds() == Approx(0.5));
}
