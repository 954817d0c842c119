#include "daemon/app/check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <variant>

#include "base/text.h"
#include "daemon/app/generations.h"
#include "daemon/app/reload.h"
#include "daemon/app/rights.h"
#include "daemon/app/shared.h"
#include "daemon/app/sinks.h"
#include "daemon/app/start_rights.h"

namespace postern::app {

namespace {

/// Why this process may not write there; nothing: it may.
std::optional<std::string> no_write(const std::string& path) {
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0) return std::nullopt;
  return errno == ENOENT ? "does not exist" : std::strerror(errno);
}

/// What can be put right while posternd runs, or made before it does, so that these are warnings.
void look_at_places(const config::Config& config, StderrJournal& journal) {
  const auto warn = [&journal](const std::string& text) { journal.note(observe::Level::Warning, text); };
  for (const auto& backend : config.run.backends) {
    for (const auto& target : backend.targets) {
      const auto* socket = std::get_if<delivery::UnixTarget>(&target);
      const auto why = socket != nullptr ? no_write(socket->path) : std::nullopt;
      if (why) {
        warn(fmt::format("backend {}: the socket {}: {}; senders are told to come again until posternd can connect to it",
                         backend.name, socket->path, *why));
      }
    }
  }
  const auto& folder = config.start.state_dir;
  if (::access(folder.c_str(), F_OK) == 0) {
    if (const auto why = no_write(folder)) {
      warn(fmt::format("state_dir {}: {}; it must be writable for the user that posternd runs as", folder, *why));
    }
  }
}

}  // namespace

Exit check(const std::string& config_path) {
  auto rights = prepare_rights(config_path);
  if (rights && rights->run_as) {
    if (auto became = become(*rights->run_as); !became) rights = tl::unexpected(became.error());
  }
  StderrJournal journal;
  if (!rights) {
    journal.note(observe::Level::Error, rights.error().text);
    return Exit::ConfigurationError;
  }
  Shared shared(journal, rights->loader);
  uv::Loop loop;
  Reloader reloader(config_path, shared, journal, loop, [] {});
  const auto config = reloader.start(Reloader::Reading::Everything);
  if (!config) {
    for (const std::string& line : config.error().lines) journal.note(observe::Level::Error, line);
    return Exit::ConfigurationError;
  }
  look_at_places(*config, journal);
  const GenerationFacts facts = reloader.facts();
  journal.note(observe::Level::Info, fmt::format("{}: {}, {}, {}", config_path, counted(facts.names, "name"),
                                                 counted(facts.certificates, "certificate"),
                                                 counted(facts.faults.size(), "fault")));
  return facts.faults.empty() ? Exit::Ok : Exit::RunFailure;
}

std::string become_user(const std::string& name) {
  const passwd* user = ::getpwnam(name.c_str());
  if (user == nullptr) return fmt::format("--user {}: there is no such user", name);
  if (::initgroups(user->pw_name, user->pw_gid) != 0 || ::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0) {
    return fmt::format("--user {}: {}; only root can become another user", name, std::strerror(errno));
  }
  return {};
}

}  // namespace postern::app
