// What the subcommands have in common: exit codes, and how they print.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/instant.h"
#include "control/protocol.h"
#include "daemon/session/control_client.h"

namespace postern::tool {

enum class Format { Text, Json };

constexpr const char* default_configuration = "/etc/postern/posternd.toml";

constexpr int exit_ok = 0;
constexpr int exit_failure = 1;  ///< it could not be done, or something has a fault
constexpr int exit_usage = 2;    ///< the command line is wrong

/// `postern: ` and the text, on standard error.
void complain(std::string_view text);

/// A line for each value, with a title; of a long list the first `lines_max`, and how many more there are.
void append_lines(std::string& text, std::string_view title, const std::vector<std::string>& values,
                  std::size_t lines_max);

/// Asks posternd, and gives its reply if it is of this kind; else complains and gives nothing. `what` is what was asked
/// for: "its status".
template <class Wanted>
std::optional<Wanted> ask(const std::string& control, const control::Request& request, Duration answer_within,
                          std::string_view what) {
  auto reply = session::ask_control(control, request, answer_within);
  if (!reply) {
    complain(reply.error().text);
  } else if (auto* wanted = std::get_if<Wanted>(&*reply)) {
    return std::move(*wanted);
  } else if (const auto* error = std::get_if<control::ErrorReply>(&*reply)) {
    complain(error->text);
  } else {
    complain("posternd answered something else than " + std::string(what));
  }
  return std::nullopt;
}

/// The text on standard output, with a line end if it has none.
void print(std::string_view text);

}  // namespace postern::tool
