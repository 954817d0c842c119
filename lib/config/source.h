// One file and what it includes → one tree, with environment variables put in.
#pragma once

#include <string>
#include <vector>

#include "config/diagnostics.h"
#include "config/from_toml.h"
#include "config/tree.h"

namespace postern::config {

struct Source {
  Table root;                      ///< without `include`
  std::vector<std::string> files;  ///< in the order of reading
  bool complete = true;            ///< false: a file could not be read or parsed, and what it holds is missing in `root`
};

/// Tables with one name become one table, lists with one name become one list; any other key may stand in one place
/// only. `${NAME}` in a string value becomes the environment variable, `$${` a plain `${`.
Source read_source(const std::string& path, const Environment& environment, Diagnostics& diagnostics);

/// `path` as seen from `file`, which names it.
std::string relative_to(const std::string& file, const std::string& path);

}  // namespace postern::config
