#include "daemon/tool/output.h"

#include <fmt/format.h>

#include <cstdio>

namespace postern::tool {

void complain(std::string_view text) { fmt::print(stderr, "postern: {}\n", text); }

void print(std::string_view text) {
  fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
  std::fflush(stdout);  // whoever waits for the line may read a pipe
}

}  // namespace postern::tool
