// posternd as a whole: starts, runs until a signal, and ends in order. No protocol.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/app/exit.h"
#include "daemon/app/invocation.h"

namespace postern::app {

/// Runs in the foreground until SIGTERM or SIGINT, or until another posternd has taken over, which SIGUSR2 starts as
/// `invocation` says; nothing: it cannot be started.
Exit run(const std::string& config_path, const std::optional<Invocation>& invocation);

}  // namespace postern::app
