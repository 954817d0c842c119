#include "config/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace postern::config {

void Diagnostics::error(const Place& place, std::string_view key, std::string_view text) {
  has_errors_ = true;
  if (!reported_.insert(fmt::format("{} {}", place.text(), key)).second) return;
  add(Diagnostic::Severity::Error, place, key, text);
}

void Diagnostics::warning(const Place& place, std::string_view key, std::string_view text) {
  add(Diagnostic::Severity::Warning, place, key, text);
}

void Diagnostics::add(Diagnostic::Severity severity, const Place& place, std::string_view key, std::string_view text) {
  Diagnostic made;
  made.severity = severity;
  made.file = place.file ? *place.file : std::string();
  made.line = place.line;
  made.column = place.column;
  made.text = key.empty() ? std::string(text) : fmt::format("{}: {}", key, text);
  all_.push_back(std::move(made));
}

std::vector<Diagnostic> Diagnostics::sorted() const {
  std::vector<Diagnostic> made = all_;
  const auto rank = [this](const Diagnostic& diagnostic) {
    const auto file = std::find(files_.begin(), files_.end(), diagnostic.file);
    return std::tuple(file - files_.begin(), std::string_view(diagnostic.file), diagnostic.line, diagnostic.column);
  };
  std::stable_sort(made.begin(), made.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return made;
}

}  // namespace postern::config
