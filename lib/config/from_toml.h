// TOML → Config. Sole user of toml++.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "config/config.h"

namespace postern::config {

/// What the parser asks of the world, so that it can be tested and fuzzed without files.
struct Environment {
  /// The error says what is wrong, without the path.
  std::function<Result<std::string>(const std::string& path)> read_file;
  /// Paths that match an `include` pattern, sorted.
  std::function<std::vector<std::string>(const std::string& pattern)> glob;
  std::function<std::optional<std::string>(const std::string& name)> variable;
  std::string host_name;  ///< the default of `hostname`
};

/// Reads the file, its includes and domain files, and checks everything that can be checked without opening
/// certificates. Relative paths in a file are relative to that file.
Parsed from_toml(const std::string& path, const Environment& environment);

/// The real files and environment of this process (blocking).
Environment process_environment();

}  // namespace postern::config
