// `posternd --check`: would it start, and with which faults? It listens on nothing and touches no running daemon.
#pragma once

#include <string>

#include "daemon/app/exit.h"

namespace postern::app {

/// Reads the configuration and every certificate file as this process can, and says what is wrong on stderr.
Exit check(const std::string& config_path);

/// Becomes another user, so that check() sees what that user may read.
/// Returns what went wrong, or an empty string.
std::string become_user(const std::string& name);

}  // namespace postern::app
