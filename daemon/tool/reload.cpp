#include "daemon/tool/reload.h"

#include <fmt/format.h>

#include <variant>

#include "daemon/session/control_client.h"

namespace postern::tool {
namespace {

// Reading 10^5 certificates from a cold disk takes its time.
constexpr Duration answer_within = std::chrono::minutes(5);

}  // namespace

std::string reload_text(const control::ReloadReply& reload) {
  std::string text = reload.configuration_taken ? "the configuration was taken\n"
                                                : "the configuration was NOT taken: the old one goes on\n";
  const auto lines = [&text](std::string_view title, const std::vector<std::string>& values) {
    for (const auto& value : values) text += fmt::format("{:<9}{}\n", title, value);
  };
  lines("error", reload.errors);
  lines("warning", reload.warnings);
  lines("added", reload.added);
  lines("renewed", reload.renewed);
  lines("removed", reload.removed);
  lines("fault", reload.faults);
  if (reload.configuration_taken && reload.added.empty() && reload.renewed.empty() && reload.removed.empty()) {
    text += "no certificate has changed\n";
  }
  return text;
}

int reload(const ReloadArguments& arguments) {
  const auto reply = session::ask_control(arguments.control, control::ReloadRequest{}, answer_within);
  if (!reply) {
    complain(reply.error().text);
    return exit_failure;
  }
  const auto* reload = std::get_if<control::ReloadReply>(&*reply);
  if (reload == nullptr) {
    const auto* error = std::get_if<control::ErrorReply>(&*reply);
    complain(error != nullptr ? error->text : "posternd answered something else than what it has reloaded");
    return exit_failure;
  }
  print(arguments.format == Format::Json ? control::to_json(*reply) : reload_text(*reload));
  return reload->configuration_taken && reload->faults.empty() ? exit_ok : exit_failure;
}

}  // namespace postern::tool
