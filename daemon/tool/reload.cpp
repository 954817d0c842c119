#include "daemon/tool/reload.h"

#include <string>

namespace postern::tool {
namespace {

// Reading 10^5 certificates from a cold disk takes its time.
constexpr Duration answer_within = std::chrono::minutes(5);
constexpr std::size_t lines_shown_max = 50;

}  // namespace

std::string reload_text(const control::ReloadReply& reload) {
  std::string text;
  if (reload.dry_run) {
    text = reload.configuration_taken ? "a reload would take the configuration; nothing has been changed\n"
                                      : "a reload would NOT take the configuration; nothing has been changed\n";
  } else {
    text = reload.configuration_taken ? "the configuration was taken\n"
                                      : "the configuration was NOT taken: the old one goes on\n";
  }
  append_lines(text, "error", reload.errors, lines_shown_max);
  append_lines(text, "warning", reload.warnings, lines_shown_max);
  append_lines(text, "added", reload.added, lines_shown_max);
  append_lines(text, "renewed", reload.renewed, lines_shown_max);
  append_lines(text, "worse", reload.worse, lines_shown_max);
  append_lines(text, "removed", reload.removed, lines_shown_max);
  append_lines(text, "fault", reload.faults, lines_shown_max);
  if (reload.configuration_taken && reload.added.empty() && reload.renewed.empty() && reload.removed.empty()) {
    text += "no certificate has changed\n";
  }
  return text;
}

int reload(const ReloadArguments& arguments) {
  const auto reload =
      ask<control::ReloadReply>(arguments.control, arguments.request, answer_within, "what it has reloaded");
  if (!reload) return exit_failure;
  print(arguments.format == Format::Json ? control::to_json(*reload) : reload_text(*reload));
  const bool faultless = reload->faults.empty() || arguments.faults == Faults::Accept;
  return reload->configuration_taken && faultless ? exit_ok : exit_failure;
}

}  // namespace postern::tool
