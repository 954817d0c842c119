#include "daemon/tool/status.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "base/text.h"

namespace postern::tool {
namespace {

constexpr Duration answer_within = std::chrono::seconds(10);

constexpr std::uint64_t mebibyte = 1024 * 1024;

std::string sessions_of(const std::vector<control::WorkerStatus>& workers) {
  std::string text;
  for (const auto& worker : workers) text += (text.empty() ? "" : " + ") + std::to_string(worker.sessions);
  return text;
}

/// ", 12 in the last minute"
std::string lately(const control::RateStatus& rates, std::uint64_t count) {
  if (rates.seconds == 0) return {};
  return fmt::format(", {} in the last {}", count, readable(std::chrono::seconds(rates.seconds)));
}

std::string time_of(std::uint64_t seconds) {
  return seconds == 0 ? "less than a second" : readable(std::chrono::seconds(seconds));
}

}  // namespace

std::string status_text(const control::StatusReply& status) {
  std::string text;
  const auto line = [&text](std::string_view title, const std::string& value) {
    text += fmt::format("{:<13}{}\n", title, value);
  };
  line("posternd", fmt::format("{}, process {}, running for {}", status.version, status.pid, time_of(status.uptime_seconds)));
  if (!status.ready) line("not ready", fmt::format("{}", fmt::join(status.not_ready, ", ")));
  line("workers", fmt::format("{}, with {} sessions", status.workers, sessions_of(status.per_worker)));
  line("sessions", fmt::format("{} open, {} since the start{}", status.sessions, status.sessions_total,
                               lately(status.rates, status.rates.sessions)));
  line("messages", fmt::format("{} taken since the start{}", status.messages_total,
                               lately(status.rates, status.rates.messages)));
  line("memory", fmt::format("{} MiB, of which {} MiB for messages", status.memory_octets / mebibyte,
                             status.message_memory_octets / mebibyte));
  line("descriptors", fmt::format("{} of {}", status.descriptors, status.descriptors_max));
  line("log level", status.log_level);
  if (status.key_queue_full != 0) {
    line("handshakes", fmt::format("{} ended because too many waited for an RSA key", status.key_queue_full));
  }
  line("certificates", fmt::format("{}, for {}", counted(status.certificates, "certificate"),
                                   counted(status.names, "name")));
  line("generation",
       fmt::format("{} of the configuration, {} of the certificate map", status.config_generation, status.map_version));
  if (status.pinned_version != 0) {
    line("pinned", fmt::format("to version {} of the certificate map, until the next `postern reload`",
                               status.pinned_version));
  }
  if (!status.held_back.empty()) line("held back", status.held_back);
  for (const auto& listener : status.listeners) {
    const bool smtp = listener.protocol == "smtp";
    line("listener", fmt::format("{}  {}", listener.address, smtp ? listener.tls : listener.protocol));
  }
  for (const auto& backend : status.backends) {
    const auto state = backend.up ? "up" : "down for " + time_of(backend.down_seconds);
    auto value = fmt::format("{}  {}  {}, {}, {} idle", backend.name, backend.target, state,
                             counted(backend.connections, "connection"), backend.idle);
    if (backend.waiting != 0) value += fmt::format(", {} waiting", backend.waiting);
    if (backend.failures != 0) {
      value += fmt::format(", {}, the last: {}", counted(backend.failures, "failure"), backend.last_failure);
    }
    line("backend", value);
  }
  const auto& ledger = status.ledger;
  auto value = fmt::format("{}, {} recorded since the start, {} deduplicated, {} refused, {} separated",
                           counted(ledger.entries, "entry", "entries"), ledger.recorded, ledger.deduplicated,
                           ledger.refused, ledger.separated);
  if (ledger.dropped != 0) value += fmt::format(", {} dropped", ledger.dropped);
  if (ledger.failures != 0) value += fmt::format(", {}", counted(ledger.failures, "failed write", "failed writes"));
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
  const auto status = ask<control::StatusReply>(arguments.control, control::StatusRequest{}, answer_within, "its status");
  if (!status) return exit_failure;
  print(arguments.format == Format::Json ? control::to_json(*status) : status_text(*status));
  return status->faults.empty() && status->held_back.empty() ? exit_ok : exit_failure;
}

}  // namespace postern::tool
