#include "daemon/tool/status.h"

#include <fmt/format.h>

#include <variant>

#include "base/text.h"
#include "daemon/session/control_client.h"

namespace postern::tool {
namespace {

constexpr Duration answer_within = std::chrono::seconds(10);

std::string plural(std::uint64_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

}  // namespace

std::string status_text(const control::StatusReply& status) {
  std::string text;
  const auto line = [&text](std::string_view title, const std::string& value) {
    text += fmt::format("{:<13}{}\n", title, value);
  };
  line("posternd", fmt::format("{}, process {}, running for {}", status.version, status.pid,
                               status.uptime_seconds == 0 ? "less than a second"
                                                          : readable(std::chrono::seconds(status.uptime_seconds))));
  line("workers", fmt::format("{}", status.workers));
  line("sessions", fmt::format("{} open, {} since the start", status.sessions, status.sessions_total));
  line("messages", fmt::format("{} taken since the start", status.messages_total));
  if (status.key_queue_full != 0) {
    line("handshakes", fmt::format("{} ended because too many waited for an RSA key", status.key_queue_full));
  }
  line("certificates", fmt::format("{}, for {}", plural(status.certificates, "certificate", "certificates"),
                                   plural(status.names, "name", "names")));
  line("generation",
       fmt::format("{} of the configuration, {} of the certificate map", status.config_generation, status.map_version));
  if (status.pinned_version != 0) {
    line("pinned", fmt::format("to version {} of the certificate map, until the next `postern reload`",
                               status.pinned_version));
  }
  if (!status.held_back.empty()) line("held back", status.held_back);
  for (const auto& listener : status.listeners) line("listener", listener.address + "  " + listener.tls);
  for (const auto& backend : status.backends) {
    auto value = fmt::format("{}  {}  {}, {}, {} idle", backend.name, backend.target, backend.up ? "up" : "down",
                             plural(backend.connections, "connection", "connections"), backend.idle);
    if (backend.waiting != 0) value += fmt::format(", {} waiting", backend.waiting);
    if (backend.failures != 0) {
      value += fmt::format(", {}, the last: {}", plural(backend.failures, "failure", "failures"), backend.last_failure);
    }
    line("backend", value);
  }
  const auto& ledger = status.ledger;
  auto value = fmt::format("{}, {} recorded since the start, {} deduplicated, {} refused, {} separated",
                           plural(ledger.entries, "entry", "entries"), ledger.recorded, ledger.deduplicated,
                           ledger.refused, ledger.separated);
  if (ledger.dropped != 0) value += fmt::format(", {} dropped", ledger.dropped);
  if (ledger.failures != 0) value += fmt::format(", {}", plural(ledger.failures, "failed write", "failed writes"));
  if (!ledger.last_failure.empty()) value += ", the last: " + ledger.last_failure;
  line("ledger", value);
  constexpr std::size_t faults_shown_max = 50;
  for (std::size_t i = 0; i < status.faults.size() && i < faults_shown_max; ++i) line("fault", status.faults[i]);
  if (status.faults.size() > faults_shown_max) {
    line("fault", fmt::format("and {} more; --json has them all", status.faults.size() - faults_shown_max));
  }
  return text;
}

int status(const StatusArguments& arguments) {
  const auto reply = session::ask_control(arguments.control, control::StatusRequest{}, answer_within);
  if (!reply) {
    complain(reply.error().text);
    return exit_failure;
  }
  const auto* status = std::get_if<control::StatusReply>(&*reply);
  if (status == nullptr) {
    const auto* error = std::get_if<control::ErrorReply>(&*reply);
    complain(error != nullptr ? error->text : "posternd answered something else than its status");
    return exit_failure;
  }
  print(arguments.format == Format::Json ? control::to_json(*reply) : status_text(*status));
  return status->faults.empty() && status->held_back.empty() ? exit_ok : exit_failure;
}

}  // namespace postern::tool
