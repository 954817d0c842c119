// Files, variables and a host name out of maps, for tests of the configuration.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "config/from_toml.h"

namespace postern::config {

struct FakeWorld {
  std::map<std::string, std::string> files;
  std::map<std::string, std::string> variables;
  std::string host_name = "host.example.net";

  /// A glob of one `*`, which is all that the tests need.
  std::vector<std::string> matches_of(const std::string& pattern) const {
    const auto star = pattern.find('*');
    const std::string front = pattern.substr(0, star);
    const std::string back = star == std::string::npos ? "" : pattern.substr(star + 1);
    std::vector<std::string> found;
    for (const auto& file : files) {
      const std::string& path = file.first;
      const bool matches = star == std::string::npos
                               ? path == pattern
                               : path.size() >= front.size() + back.size() && path.starts_with(front) && path.ends_with(back);
      if (matches) found.push_back(path);
    }
    return found;
  }

  Environment environment() const {
    return Environment{
        .read_file = [this](const std::string& path) -> Result<std::string> {
          const auto found = files.find(path);
          if (found == files.end()) return fail("No such file or directory");
          return found->second;
        },
        .glob = [this](const std::string& pattern) { return matches_of(pattern); },
        .variable = [this](const std::string& name) -> std::optional<std::string> {
          const auto found = variables.find(name);
          if (found == variables.end()) return std::nullopt;
          return found->second;
        },
        .host_name = host_name,
    };
  }
};

/// The least that is a configuration without warnings; tests put their own in front or behind.
inline constexpr const char* minimal = R"(
[[listen]]
address = "[::]:25"
default_certificate = "mx"
[[certificate]]
id = "mx"
chain = "/mx.pem"
[[backend]]
name = "store"
deliver = "lmtp"
to = "unix:/run/lmtp"
[[domain]]
name = "example.com"
backend = "store"
)";

/// Parses `text` as the only file, "p.toml".
inline Parsed parse(const std::string& text, FakeWorld world = {}) {
  world.files["p.toml"] = text;
  return from_toml("p.toml", world.environment());
}

/// All diagnostics, one a line.
inline std::string rendered(const Parsed& parsed) {
  std::string all;
  for (const Diagnostic& diagnostic : parsed.diagnostics) {
    if (diagnostic.severity == Diagnostic::Severity::Warning) all += "warning: ";
    all += diagnostic.rendered() + "\n";
  }
  return all;
}

/// What is wrong with `text` when the minimal configuration stands behind it, one a line.
inline std::string complaints(const std::string& text, FakeWorld world = {}) {
  return rendered(parse(text + minimal, std::move(world)));
}

/// The same with `text` behind the minimal configuration.
inline std::string complaints_after(const std::string& text, FakeWorld world = {}) {
  return rendered(parse(minimal + text, std::move(world)));
}

}  // namespace postern::config
