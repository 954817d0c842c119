// What the subcommands have in common: exit codes, and how they print.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace postern::tool {

enum class Format { Text, Json };

constexpr int exit_ok = 0;
constexpr int exit_failure = 1;  ///< it could not be done, or something has a fault
constexpr int exit_usage = 2;    ///< the command line is wrong

/// `postern: ` and the text, on standard error.
void complain(std::string_view text);

/// A line for each value, with a title; of a long list the first `lines_max`, and how many more there are.
void append_lines(std::string& text, std::string_view title, const std::vector<std::string>& values,
                  std::size_t lines_max);

/// The text on standard output, with a line end if it has none.
void print(std::string_view text);

}  // namespace postern::tool
