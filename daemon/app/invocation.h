// How this process was started: enough to start another one in its place.
#pragma once

#include <string>
#include <vector>

namespace postern::app {

struct Invocation {
  std::string program;             ///< a path that is good in any folder
  std::vector<std::string> words;  ///< argv
};

/// The path is that of argv[0], which may be another file by the time it is started; found by PATH, that of this file.
Invocation invocation(int argc, const char* const* argv);

}  // namespace postern::app
