// Files that hold state: after a crash there is the old one or the new one. Blocking.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace postern::session {

/// A new file, renamed over the old one when it is on disk. Readable for the owner and the group.
Result<void> replace_file(const std::string& path, std::string_view octets);

}  // namespace postern::session
