#include "daemon/tool/output.h"

#include <fmt/format.h>

#include <cstdio>

namespace postern::tool {

void complain(std::string_view text) { fmt::print(stderr, "postern: {}\n", text); }

void append_lines(std::string& text, std::string_view title, const std::vector<std::string>& values,
                  std::size_t lines_max) {
  for (std::size_t i = 0; i < values.size() && i < lines_max; ++i) text += fmt::format("{:<9}{}\n", title, values[i]);
  if (values.size() > lines_max) {
    text += fmt::format("{:<9}and {} more; --json has them all\n", title, values.size() - lines_max);
  }
}

void print(std::string_view text) {
  fmt::print("{}{}", text, text.ends_with('\n') ? "" : "\n");
  std::fflush(stdout);  // whoever waits for the line may read a pipe
}

}  // namespace postern::tool
