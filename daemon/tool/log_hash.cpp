#include "daemon/tool/log_hash.h"

#include <algorithm>

#include "config/from_toml.h"
#include "daemon/session/state_file.h"
#include "daemon/tool/output.h"
#include "observe/address_veil.h"

namespace postern::tool {

namespace {

Result<observe::AddressKey> read_key(const std::string& configuration) {
  const auto parsed = config::from_toml(configuration, config::process_environment());
  if (!parsed.config) {
    const auto error = std::find_if(parsed.diagnostics.begin(), parsed.diagnostics.end(), [](const auto& diagnostic) {
      return diagnostic.severity == config::Diagnostic::Severity::Error;
    });
    return fail("{}", error->rendered());
  }
  const std::string path = parsed.config->start.state_dir + "/addresses.key";
  const auto octets = session::read_state_file(path);
  if (!octets) return fail("{}; posternd makes it when it starts, and only its user and root may read it", octets.error().text);
  observe::AddressKey key;
  if (octets->size() != key.octets.size()) return fail("{}: expected {} octets, found {}", path, key.octets.size(), octets->size());
  std::copy(octets->begin(), octets->end(), key.octets.begin());
  return key;
}

}  // namespace

int log_hash(const LogHashArguments& arguments) {
  const auto key = read_key(arguments.configuration);
  if (!key) {
    complain(key.error().text);
    return exit_failure;
  }
  const observe::AddressVeil veil(observe::Addresses::Hash, *key);
  for (const std::string& address : arguments.addresses) print(veil.path(address));
  return exit_ok;
}

}  // namespace postern::tool
