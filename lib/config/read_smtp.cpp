// `[smtp]`, `[limits]`, `[timeouts]` and `[log]`.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t gibibyte = 1024ull * 1024 * 1024;

void read_offer(const Section& section, std::optional<smtp::Extensions>& offer) {
  if (!section.has("offer")) return;
  offer.emplace();
  for (const Text& text : section.texts("offer")) {
    if (text.value == "smtputf8") {
      offer->smtputf8 = true;
    } else if (text.value == "chunking") {
      offer->chunking = true;
    } else if (text.value == "binarymime") {
      offer->binarymime = offer->chunking = true;  // RFC 3030 section 3
    } else if (text.value == "dsn") {
      offer->dsn = true;
    } else if (text.value == "prdr") {
      offer->prdr = true;
    } else if (text.value == "limits") {
      offer->limits = true;
    } else if (text.value == "requiretls") {
      offer->requiretls = true;
    } else {
      section.error(text.place, "offer",
                    fmt::format("expected \"smtputf8\", \"chunking\", \"binarymime\", \"dsn\", \"prdr\", \"limits\" or "
                                "\"requiretls\", found \"{}\"",
                                escaped(text.value, 80)));
    }
  }
}

void read_smtp_section(const Section& section, RunConfig& run) {
  section.choice("smuggling", run.smtp.smuggling,
                 {{"reject", smtp::Smuggling::Reject}, {"normalize", smtp::Smuggling::Normalize}});
  run.smtp.smuggling_exempt = read_networks(section, "smuggling_exempt");
  section.boolean("strict", run.smtp.strict);
  read_offer(section, run.offer);
  section.boolean("binarymime", run.binarymime);
  section.size("spill_at", run.spill_at, {std::size_t{4096}, std::size_t{gibibyte}});
  section.path("spill_dir", run.spill_dir);
}

/// A limit on a part of all connections: lower when the whole is.
void read_part(const Section& section, std::string_view key, std::size_t& part, std::size_t whole) {
  section.integer(key, part, {std::size_t{1}, std::size_t{10'000'000}});
  if (part <= whole) return;
  if (section.has(key)) {
    section.warning(key, fmt::format("more than limits.connections ({}), so that it limits nothing", whole));
  } else {
    part = whole;
  }
}

void read_connection_limits(const Section& section, ConnectionLimits& limits) {
  section.integer("connections", limits.connections, {std::size_t{1}, std::size_t{10'000'000}});
  read_part(section, "connections_per_address", limits.connections_per_address, limits.connections);
  read_part(section, "connections_per_network", limits.connections_per_network, limits.connections);
  if (!section.has("connections_per_network")) {
    limits.connections_per_network = std::max(limits.connections_per_network, limits.connections_per_address);
  } else if (limits.connections_per_network < limits.connections_per_address) {
    section.warning("connections_per_network", fmt::format("less than limits.connections_per_address ({}), so that one "
                                                           "address can use up the share of its network",
                                                           limits.connections_per_address));
  }
}

void read_message_budgets(const Section& section, RunConfig& run) {
  section.size("message_memory", run.message_memory_max, {std::uint64_t{1024 * 1024}, 1024 * gibibyte});
  section.size("spill_space", run.spill_octets_max, {std::uint64_t{1024 * 1024}, 1024 * 1024 * gibibyte});
  if (run.spill_octets_max < run.smtp.limits.message_octets_max) {
    section.warning("spill_space", fmt::format("less than limits.message_size ({}), so that the largest messages can never "
                                               "be taken",
                                               run.smtp.limits.message_octets_max));
  }
}

// RFC 5321 section 4.5.3.1 says how much a server must be able to take: less is refused where nobody can want it, and
// warned of where somebody might.
void read_limits(const Section& section, RunConfig& run) {
  smtp::ServerLimits& limits = run.smtp.limits;
  section.size("message_size", limits.message_octets_max, {std::uint64_t{1024}, 1024 * gibibyte});
  if (limits.message_octets_max < 64 * 1024) {
    section.warning("message_size", "below the 64 KiB that RFC 5321 section 4.5.3.1.7 asks for");
  }
  section.integer("recipients", limits.recipients_max, {std::size_t{1}, std::size_t{100'000}});
  if (limits.recipients_max < 100) {
    section.warning("recipients", "below the 100 that RFC 5321 section 4.5.3.1.8 asks for");
  }
  read_connection_limits(section, run.connection_limits);
  read_message_budgets(section, run);
  section.integer("errors", limits.errors_max, {std::size_t{1}, std::size_t{1'000'000}});
  section.integer("commands", limits.commands_max, {std::size_t{10}, std::size_t{100'000'000}});
  section.integer("unknown_commands", limits.unknown_commands_max, {std::size_t{0}, std::size_t{1'000'000}});
  section.integer("transactions", limits.transactions_max, {std::size_t{0}, std::size_t{1'000'000}});
  section.size("data_rate", limits.data_octets_per_second_min, {std::uint64_t{0}, gibibyte});
  section.size("command_length", limits.command_line_octets_max, {std::size_t{512}, std::size_t{65'536}});
  section.size("line_length", limits.text_line_octets_max, {std::size_t{0}, std::size_t{gibibyte}});
  if (limits.text_line_octets_max != 0 && limits.text_line_octets_max < 1000) {
    section.warning("line_length", "below the 1000 octets that RFC 5321 section 4.5.3.1.6 asks for");
  }
  section.integer("pipeline_depth", limits.pipeline_depth, {std::size_t{1}, std::size_t{1000}});
}

void read_timeouts(const Section& section, RunConfig& run) {
  smtp::ServerTimeouts& timeouts = run.smtp.timeouts;
  section.duration("command", timeouts.command, {seconds(1), hours(1)});
  section.duration("data", timeouts.data, {seconds(1), hours(1)});
  section.duration("handshake", timeouts.handshake, {milliseconds(100), minutes(10)});
  section.duration("drain", run.drain, {seconds(0), hours(1)});
  section.duration("reverse_dns", run.reverse_dns_within, {milliseconds(100), minutes(1)});
  section.duration("drain_notice", run.drain_notice, {seconds(0), hours(1)});
  section.duration("final", run.final_deadline, {seconds(1), hours(1)});
  if (run.final_deadline >= minutes(10)) {
    section.warning("final",
                    "senders give up after 10 minutes (RFC 5321 section 4.5.3.2.6) and send the message again, which "
                    "makes duplicates: stay below");
  }
}

void read_log(const Section& section, LogSettings& log) {
  section.choice("level", log.level,
                 {{"error", LogLevel::Error},
                  {"warning", LogLevel::Warning},
                  {"info", LogLevel::Info},
                  {"debug", LogLevel::Debug}});
  section.path("file", log.file);
  section.choice("format", log.format, {{"text", LogFormat::Text}, {"json", LogFormat::Json}});
  section.choice("addresses", log.addresses,
                 {{"full", LogAddresses::Full}, {"hash", LogAddresses::Hash}, {"domain", LogAddresses::Domain}});
}

}  // namespace

std::vector<Network> read_networks(const Section& section, std::string_view key) {
  std::vector<Network> networks;
  for (const Text& text : section.texts(key)) {
    if (const auto network = Network::parse(text.value)) {
      networks.push_back(*network);
    } else {
      section.error(text.place, key,
                    fmt::format("expected networks such as \"192.0.2.0/24\" or \"2001:db8::/32\", found \"{}\"",
                                escaped(text.value, 80)));
    }
  }
  return networks;
}

void read_smtp(const Section& root, RunConfig& run) {
  if (const auto section = root.table("smtp")) read_smtp_section(*section, run);
  if (const auto section = root.table("limits")) read_limits(*section, run);
  if (const auto section = root.table("timeouts")) read_timeouts(*section, run);
  if (const auto section = root.table("log")) read_log(*section, run.log);
}

}  // namespace postern::config
