#include "daemon/tool/steer.h"

#include <fmt/format.h>

namespace postern::tool {

namespace {

constexpr Duration answer_within = std::chrono::seconds(10);

int steer(const SteerArguments& arguments, const control::Request& request) {
  const auto reply = ask<control::DrainReply>(arguments.control, request, answer_within, "whether it drains");
  if (!reply) return exit_failure;
  if (arguments.format == Format::Json) {
    print(control::to_json(*reply));
  } else if (!reply->draining) {
    print("posternd is ready again: connections are accepted");
  } else if (reply->accepts_for_seconds != 0) {
    print(fmt::format("posternd is draining: not ready, and connections are accepted for another {} s",
                      reply->accepts_for_seconds));
  } else {
    print("posternd is draining: no connections are accepted");
  }
  return exit_ok;
}

}  // namespace

int drain(const SteerArguments& arguments) { return steer(arguments, control::DrainRequest{}); }

int undrain(const SteerArguments& arguments) { return steer(arguments, control::UndrainRequest{}); }

int log_level(const SteerArguments& arguments, const std::string& level) {
  const auto reply = ask<control::LogLevelReply>(arguments.control, control::LogLevelRequest{level}, answer_within,
                                                 "its log level");
  if (!reply) return exit_failure;
  if (arguments.format == Format::Json) {
    print(control::to_json(*reply));
  } else if (level.empty()) {
    print(reply->level);
  } else {
    print(fmt::format("the log level is {} until the next reload; it was {}", reply->level, reply->before));
  }
  return exit_ok;
}

}  // namespace postern::tool
