#include "daemon/tool/sessions.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/text.h"

namespace postern::tool {

namespace {

constexpr Duration answer_within = std::chrono::seconds(10);
constexpr auto watch_interval = std::chrono::seconds(2);
constexpr std::string_view clear_screen = "\x1b[H\x1b[2J";

std::string or_dash(const std::string& raw, std::size_t length_max) {
  return raw.empty() ? "-" : escaped(raw, length_max);
}

}  // namespace

std::string sessions_text(const control::SessionsReply& reply) {
  std::string text = fmt::format("{:<16} {:<24} {:<12} {:>8} {:>5} {:>6}  {:<8} {:<28} {}\n", "ID", "CLIENT", "DOING",
                                 "SINCE", "MAILS", "RCPTS", "TLS", "SNI", "EHLO");
  for (const control::SessionRow& row : reply.sessions) {
    const auto since = fmt::format("{}.{}s", row.milliseconds / 1000, row.milliseconds % 1000 / 100);
    text += fmt::format("{:<16} {:<24} {:<12} {:>8} {:>5} {:>6}  {:<8} {:<28} {}\n", row.id, row.peer, row.doing, since,
                        row.messages, row.recipients, or_dash(row.tls_version, 8), or_dash(row.sni, 60),
                        or_dash(row.client_name, 60));
  }
  if (reply.matching > reply.sessions.size()) {
    text += fmt::format("and {} more\n", reply.matching - reply.sessions.size());
  } else if (reply.sessions.empty()) {
    text = "no such session\n";
  }
  return text;
}

int sessions(const SessionsArguments& arguments) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  for (;;) {
    const auto reply = ask<control::SessionsReply>(arguments.control, arguments.request, answer_within, "its sessions");
    if (!reply) return exit_failure;
    if (arguments.watch && terminal && arguments.format == Format::Text) print(clear_screen);
    print(arguments.format == Format::Json ? control::to_json(*reply) : sessions_text(*reply));
    if (!arguments.watch) return exit_ok;
    std::this_thread::sleep_for(watch_interval);
  }
}

}  // namespace postern::tool
