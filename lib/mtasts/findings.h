// What is wrong, gathered: one finding for a fault and what has it, however many domains suffer from it. Bounded, so that
// an audit of 10^6 domains that are all wrong in their own way still ends in a list that fits in memory.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/dns_name.h"

namespace postern::mtasts {

enum class Severity : std::uint8_t {
  Note,     ///< nothing is wrong
  Warning,  ///< mail arrives, but something should be done
  Error,    ///< some senders refuse to deliver, or will not get the policy
};
std::string_view to_string(Severity severity);

struct Finding {
  std::string_view code;  ///< for programs: "mx-no-certificate"
  Severity severity = Severity::Error;
  std::string subject;    ///< a host name, a file, a domain
  std::string text;       ///< what is wrong with it
  std::string fix;        ///< what to do
  std::uint64_t domains = 0;          ///< how many domains it concerns; 0: none in particular
  std::vector<std::string> examples;  ///< the first of them
};

class Findings {
 public:
  static constexpr std::size_t kept_of_a_code_max = 1000;
  static constexpr std::size_t examples_max = 3;

  struct Words {
    std::string text, fix;
  };
  /// `code` must outlive this. The same fault of the same subject counts once, with the gravest of its severities.
  /// `words` says it, once.
  template <class MakeWords>
  void add(std::string_view code, Severity severity, std::string_view subject, const DnsName* domain, MakeWords words) {
    Finding* finding = find_or_make(code, severity, subject);
    if (finding == nullptr) return;
    if (finding->text.empty()) {
      Words said = words();
      finding->text = std::move(said.text);
      finding->fix = std::move(said.fix);
    }
    count(*finding, severity, domain);
  }

  /// The gravest first, then by code.
  std::vector<const Finding*> sorted() const;
  /// Cases that were only counted, by code.
  const std::map<std::string_view, std::uint64_t>& not_kept() const { return others_; }
  /// Findings of this severity that were kept.
  std::uint64_t count_of(Severity severity) const;
  bool has_errors() const { return has_errors_; }

 private:
  Finding* find_or_make(std::string_view code, Severity severity, std::string_view subject);
  void count(Finding& finding, Severity severity, const DnsName* domain);

  std::vector<Finding> all_;
  std::unordered_map<std::string, std::size_t> places_;  // by code and subject
  std::map<std::string_view, std::size_t> kept_;
  std::map<std::string_view, std::uint64_t> others_;
  bool has_errors_ = false;
};

}  // namespace postern::mtasts
