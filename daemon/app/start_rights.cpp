#include "daemon/app/start_rights.h"

#include <unistd.h>

#include <utility>

#include "config/from_toml.h"

namespace postern::app {

Result<StartRights> prepare_rights(const std::string& config_path) {
  StartRights rights;
  if (!is_root() && !reads_everything()) return rights;
  const config::Parsed parsed = config::from_toml(config_path, config::process_environment());
  if (!parsed.config) return rights;
  if (is_root()) {
    if (parsed.config->start.user.empty()) return rights;
    auto run_as = find_run_as(parsed.config->start.user, parsed.config->start.group);
    if (!run_as) return tl::unexpected(Error{config_path + ": " + run_as.error().text});
    rights.run_as = std::move(*run_as);
  }
  auto loader = start_loader_process(config_path, *parsed.config, rights.run_as);
  if (!loader) return tl::unexpected(loader.error());
  rights.loader = std::move(*loader);
  if (!is_root()) {
    if (auto dropped = read_no_more_than_others(); !dropped) return tl::unexpected(dropped.error());
  }
  return rights;
}

std::optional<Launcher> start_launcher(const Invocation& invocation) {
  if (::getpid() == 1) return std::nullopt;
  auto started = Launcher::start(invocation);
  if (!started) return std::nullopt;
  return std::move(*started);
}

}  // namespace postern::app
