// What is settled about rights before there is a second thread: the processes that keep some, and whom this one becomes.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "daemon/app/launcher.h"
#include "daemon/app/loader_process.h"
#include "daemon/app/rights.h"

namespace postern::app {

struct StartRights {
  std::optional<RunAs> run_as;          ///< nothing: we stay who we are
  std::shared_ptr<LoaderFiles> loader;  ///< null: this process reads everything itself
  std::optional<Launcher> launcher;     ///< nothing: another posternd cannot take over
};

/// As root with a `user`, looks it up and starts the loader process; likewise with CAP_DAC_READ_SEARCH alone, which only
/// the loader process keeps. A configuration with errors is somebody else's to complain of.
Result<StartRights> prepare_rights(const std::string& config_path);

/// Starts the launcher, unless this is process 1, with which its container ends.
std::optional<Launcher> start_launcher(const Invocation& invocation);

}  // namespace postern::app
