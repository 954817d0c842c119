// posternd as a whole: starts, runs until a signal, and ends in order. No protocol.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/app/invocation.h"

namespace postern::app {

/// Exit codes of posternd.
enum class Exit { Ok = 0, RunFailure = 1, ConfigurationError = 2 };

/// Runs in the foreground until SIGTERM or SIGINT, or until another posternd has taken over, which SIGUSR2 starts as
/// `invocation` says; nothing: it cannot be started.
Exit run(const std::string& config_path, const std::optional<Invocation>& invocation);

/// Reads the configuration and every certificate file as this process can, and says what is wrong on stderr.
Exit check(const std::string& config_path);

/// Becomes another user, so that check() sees what that user may read.
/// Returns what went wrong, or an empty string.
std::string become_user(const std::string& name);

}  // namespace postern::app
