#include "observe/exposition.h"

#include <array>

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::observe;

TEST_CASE("families, samples and labels") {
  Exposition out;
  out.counter("postern_sessions_total", "Sessions.", 18'446'744'073'709'551'615u);
  out.family("postern_backend_up", Exposition::Type::Gauge, "Up.");
  out.sample({{"backend", "store"}, {"target", "unix:/run/lmtp"}}, 1);
  out.sample({{"backend", "mta"}}, 0.25);
  CHECK(out.text() ==
        "# HELP postern_sessions_total Sessions.\n"
        "# TYPE postern_sessions_total counter\n"
        "postern_sessions_total 18446744073709551615\n"
        "# HELP postern_backend_up Up.\n"
        "# TYPE postern_backend_up gauge\n"
        "postern_backend_up{backend=\"store\",target=\"unix:/run/lmtp\"} 1\n"
        "postern_backend_up{backend=\"mta\"} 0.25\n");
}

TEST_CASE("no value of a label breaks out of it") {
  Exposition out;
  out.family("x", Exposition::Type::Gauge, "X.");
  out.sample({{"name", "a\"} 1\nb\\"}}, 1);
  CHECK(out.text().ends_with("x{name=\"a\\\"} 1\\nb\\\\\"} 1\n"));
}

TEST_CASE("a histogram is cumulative, and ends in +Inf") {
  static constexpr std::array<double, 2> bounds{0.01, 0.5};
  Histogram histogram(bounds);
  for (const int milliseconds : {5, 10, 100, 2000}) histogram.count(std::chrono::milliseconds(milliseconds));
  Exposition out;
  out.family("took_seconds", Exposition::Type::Histogram, "Took.");
  out.histogram({{"backend", "store"}}, histogram);
  CHECK(out.text() ==
        "# HELP took_seconds Took.\n"
        "# TYPE took_seconds histogram\n"
        "took_seconds_bucket{backend=\"store\",le=\"0.01\"} 2\n"
        "took_seconds_bucket{backend=\"store\",le=\"0.5\"} 3\n"
        "took_seconds_bucket{backend=\"store\",le=\"+Inf\"} 4\n"
        "took_seconds_sum{backend=\"store\"} 2.115\n"
        "took_seconds_count{backend=\"store\"} 4\n");
}
