// Which files a configuration needs: what the sandbox leaves within reach, and what a reload adds beyond it.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "daemon/app/sandbox.h"
#include "daemon/session/journal.h"

namespace postern::app {

/// config::from_toml on the files and environment of this process. `folders` becomes those in which files were looked for.
config::Parsed read_configuration(const std::string& path, std::vector<std::string>& folders);

struct Confinement {
  const config::Config& config;
  std::vector<std::string> read;   ///< besides what the configuration names: folders
  std::vector<std::string> clear;  ///< see Reach
  /// Whether another process reads certificates, keys and lists of users.
  enum class Certificates { ReadHere, ReadByLoader } certificates = Certificates::ReadHere;
};
Reach reach_of(const Confinement& confinement);

/// Enters the sandbox, and says what this kernel cannot do. To be called with one thread.
FileFence confine(const Reach& reach, session::Journal& journal);

/// A sentence for each place that is needed and lies beyond the fence.
std::vector<std::string> beyond(const FileFence& fence, const Reach& reach);

}  // namespace postern::app
