// Whatever stands in a configuration file, from_toml does not throw, and gives either a configuration or at least one
// error, never both or neither.
#include <algorithm>
#include <cstdlib>

#include "config/from_toml.h"

using namespace postern;

namespace {

/// Every file, included ones and lists of domains too, has the fuzzer's bytes.
config::Environment environment_of(const std::string& text) {
  return config::Environment{
      .read_file = [&text](const std::string&) -> Result<std::string> { return text; },
      .glob = [](const std::string& pattern) { return std::vector<std::string>{pattern}; },
      .variable = [](const std::string& name) -> std::optional<std::string> {
        if (name.size() > 4) return std::nullopt;
        return name;
      },
      .host_name = "host.example.net",
  };
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const config::Parsed parsed = config::from_toml("/etc/postern/posternd.toml", environment_of(text));
  const bool has_error =
      std::any_of(parsed.diagnostics.begin(), parsed.diagnostics.end(), [](const config::Diagnostic& diagnostic) {
        return diagnostic.severity == config::Diagnostic::Severity::Error;
      });
  if (parsed.config.has_value() == has_error) std::abort();
  for (const config::Diagnostic& diagnostic : parsed.diagnostics) {
    if (diagnostic.rendered().find('\n') != std::string::npos) std::abort();
  }
  return 0;
}
