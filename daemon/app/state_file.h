// Reads a file of `state_dir` whole. Blocking. (How they are written: session/replace_file.)
#pragma once

#include <string>

#include "base/result.h"

namespace postern::app {

Result<std::string> read_state_file(const std::string& path);

}  // namespace postern::app
