#include "config/config.h"

#include <fmt/format.h>

#include <algorithm>

namespace postern::config {

std::string Diagnostic::rendered() const {
  std::string made = file;
  if (line != 0) made += fmt::format(":{}:{}", line, column);
  made += ": " + text;
  // File names can hold anything; a diagnostic is one line.
  std::replace_if(made.begin(), made.end(), [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; }, '?');
  return made;
}

}  // namespace postern::config
