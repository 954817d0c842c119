#include "daemon/tool/sessions.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/text.h"
#include "daemon/tool/table.h"

namespace postern::tool {

namespace {

constexpr Duration answer_within = std::chrono::seconds(10);
constexpr auto watch_interval = std::chrono::seconds(2);
constexpr std::string_view clear_screen = "\x1b[H\x1b[2J";

constexpr std::size_t name_octets_max = 60;

}  // namespace

std::string sessions_text(const control::SessionsReply& reply) {
  if (reply.sessions.empty()) return "no such session\n";
  using Side = Table::Side;
  Table table({{"ID"}, {"CLIENT"}, {"DOING"}, {"AGE", Side::Right}, {"MAILS", Side::Right}, {"RCPTS", Side::Right}, {"TLS"},
               {"SNI"}, {"EHLO"}});
  for (const control::SessionRow& row : reply.sessions) {
    table.row({row.id, row.peer, row.doing, readable(std::chrono::milliseconds(row.milliseconds)),
               fmt::format("{}", row.messages), fmt::format("{}", row.recipients), escaped(row.tls_version, 8),
               escaped(row.sni, name_octets_max), escaped(row.client_name, name_octets_max)});
  }
  std::string text = table.take();
  if (reply.matching > reply.sessions.size()) {
    text += fmt::format("and {} more; --limit shows them\n", reply.matching - reply.sessions.size());
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
