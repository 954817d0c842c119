// Files that hold state: after a crash there is the old one or the new one. Blocking.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::session {

enum class Readers {
  OwnerAndGroup,
  Owner,
};

/// The whole file.
Result<std::string> read_state_file(const std::string& path);

/// A new file, renamed over the old one when it is on disk.
Result<void> replace_file(const std::string& path, std::string_view octets, Readers readers = Readers::OwnerAndGroup);

}  // namespace postern::session
