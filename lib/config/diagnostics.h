// Collects what is wrong with a configuration, so that an operator sees all of it at once.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "config/config.h"
#include "config/tree.h"

namespace postern::config {

class Diagnostics {
 public:
  /// `key` may be empty when the place says everything. The text says what was found, what was expected, what to do. Only
  /// the first error about one key at one place counts: the others follow from it.
  void error(const Place& place, std::string_view key, std::string_view text);
  void warning(const Place& place, std::string_view key, std::string_view text);

  bool has_errors() const { return has_errors_; }

  /// In order of place; files in the order in which they were first named by know_file().
  std::vector<Diagnostic> sorted() const;
  void know_file(const std::string& file) { files_.push_back(file); }

 private:
  void add(Diagnostic::Severity severity, const Place& place, std::string_view key, std::string_view text);

  std::vector<Diagnostic> all_;
  std::unordered_set<std::string> reported_;  // place and key of errors
  std::vector<std::string> files_;
  bool has_errors_ = false;
};

}  // namespace postern::config
