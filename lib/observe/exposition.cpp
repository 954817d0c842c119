#include "observe/exposition.h"

#include <fmt/format.h>

namespace postern::observe {

namespace {

std::string_view to_string(Exposition::Type type) {
  switch (type) {
    case Exposition::Type::Counter: return "counter";
    case Exposition::Type::Gauge: return "gauge";
    case Exposition::Type::Histogram: return "histogram";
  }
  return "untyped";
}

/// `"` needs no escape in a help text, but does no harm there.
std::string escaped_value(std::string_view raw) {
  std::string made;
  for (const char c : raw) {
    switch (c) {
      case '\\': made += "\\\\"; break;
      case '"': made += "\\\""; break;
      case '\n': made += "\\n"; break;
      default: made += c;
    }
  }
  return made;
}

}  // namespace

void Exposition::family(std::string_view name, Type type, std::string_view help) {
  family_ = name;
  text_ += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, to_string(type));
}

void Exposition::sample(Labels labels, double value) { write(family_, labels, {}, fmt::format("{}", value)); }

void Exposition::histogram(Labels labels, const Histogram& histogram) {
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < histogram.buckets().size(); ++i) {
    below += histogram.buckets()[i];
    const bool last = i == histogram.bounds().size();
    write(family_ + "_bucket", labels, last ? "+Inf" : fmt::format("{}", histogram.bounds()[i]), std::to_string(below));
  }
  write(family_ + "_sum", labels, {}, fmt::format("{}", histogram.sum_seconds()));
  write(family_ + "_count", labels, {}, std::to_string(below));
}

void Exposition::counter(std::string_view name, std::string_view help, std::uint64_t value) {
  family(name, Type::Counter, help);
  sample({}, value);
}

void Exposition::gauge(std::string_view name, std::string_view help, double value) {
  family(name, Type::Gauge, help);
  sample({}, value);
}

/// `bound`: of a bucket; empty for other samples.
void Exposition::write(std::string_view name, Labels labels, std::string_view bound, std::string_view value) {
  text_ += name;
  char before = '{';
  const auto label = [&](std::string_view key, std::string_view text) {
    text_ += fmt::format("{}{}=\"{}\"", before, key, escaped_value(text));
    before = ',';
  };
  for (const auto& [key, text] : labels) label(key, text);
  if (!bound.empty()) label("le", bound);
  text_ += fmt::format("{}{}\n", before == ',' ? "} " : " ", value);
}

}  // namespace postern::observe
