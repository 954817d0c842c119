// Writes metrics in Prometheus' text exposition format, version 0.0.4: families of samples, each with its help and type.
//
//   Exposition out;
//   out.family("postern_sessions_total", Exposition::Type::Counter, "Sessions that were accepted.");
//   out.sample({}, 17);
//   out.sample({{"backend", "store"}}, 3);     // one more of the same family
//   send(out.text());
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "observe/histogram.h"

namespace postern::observe {

class Exposition {
 public:
  static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

  enum class Type { Counter, Gauge, Histogram };
  /// Values may be any text; they are escaped here.
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  /// Begins a family. Its name keeps to the conventions: `postern_`, the unit last, `_total` for counters.
  void family(std::string_view name, Type type, std::string_view help);

  void sample(Labels labels, double value);
  void sample(Labels labels, std::integral auto value) { write(family_, labels, {}, std::to_string(value)); }
  /// All the buckets, cumulative, the sum and the count.
  void histogram(Labels labels, const Histogram& histogram);

  /// Families of one sample.
  void counter(std::string_view name, std::string_view help, std::uint64_t value);
  void gauge(std::string_view name, std::string_view help, double value);

  const std::string& text() const { return text_; }

 private:
  void write(std::string_view name, Labels labels, std::string_view bound, std::string_view value);

  std::string text_;
  std::string family_;
};

}  // namespace postern::observe
