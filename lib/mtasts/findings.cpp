#include "mtasts/findings.h"

#include <algorithm>
#include <tuple>

namespace postern::mtasts {

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::Note: return "note";
    case Severity::Warning: return "warning";
    case Severity::Error: return "error";
  }
  return "";
}

Finding* Findings::find_or_make(std::string_view code, Severity severity, std::string_view subject) {
  has_errors_ = has_errors_ || severity == Severity::Error;
  std::string key(code);
  key += '\n';
  key += subject;
  if (const auto found = places_.find(key); found != places_.end()) return &all_[found->second];
  if (kept_[code] == kept_of_a_code_max) {
    ++others_[code];
    return nullptr;
  }
  ++kept_[code];
  places_.emplace(std::move(key), all_.size());
  Finding made;
  made.code = code;
  made.severity = severity;
  made.subject = subject;
  return &all_.emplace_back(std::move(made));
}

void Findings::count(Finding& finding, Severity severity, const DnsName* domain) {
  finding.severity = std::max(finding.severity, severity);
  if (domain == nullptr) return;
  // Whoever comes twice in a row, with two of its names, is one domain.
  const bool again = !finding.examples.empty() && finding.examples.back() == domain->text();
  if (again) return;
  ++finding.domains;
  if (finding.examples.size() < examples_max) finding.examples.push_back(domain->text());
}

std::vector<const Finding*> Findings::sorted() const {
  std::vector<const Finding*> made;
  made.reserve(all_.size());
  for (const Finding& finding : all_) made.push_back(&finding);
  std::stable_sort(made.begin(), made.end(), [](const Finding* a, const Finding* b) {
    return std::tie(b->severity, a->code) < std::tie(a->severity, b->code);
  });
  return made;
}

std::uint64_t Findings::count_of(Severity severity) const {
  return static_cast<std::uint64_t>(
      std::count_if(all_.begin(), all_.end(), [&](const Finding& finding) { return finding.severity == severity; }));
}

}  // namespace postern::mtasts
