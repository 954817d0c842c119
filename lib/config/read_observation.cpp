// `[dns]` and `[score]`: what is found out about clients, and what is counted of them.
#include <fmt/format.h>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

constexpr std::uint16_t dns_port = 53;

void read_dns(const Section& section, Config& config) {
  for (const Text& text : section.texts("servers")) {
    if (const auto endpoint = Endpoint::parse(text.value)) {
      config.start.dns_servers.push_back(*endpoint);
    } else if (const auto address = IpAddress::parse(text.value)) {
      config.start.dns_servers.push_back({*address, dns_port});
    } else {
      section.error(text.place, "servers",
                    fmt::format("expected addresses such as \"127.0.0.1\" or \"[::1]:5353\", found \"{}\"",
                                escaped(text.value, 80)));
    }
  }
  section.boolean("reverse", config.run.reverse_dns);
}

void read_score(const Section& section, report::ScoreSettings& score) {
  section.boolean("enabled", score.enabled);
  section.duration("retention", score.retention, {std::chrono::hours(1), report::retention_max});
  section.integer("senders", score.senders_max, {std::size_t{10}, std::size_t{100'000}});
}

}  // namespace

void read_observation(const Section& root, Config& config) {
  if (const auto section = root.table("dns")) read_dns(*section, config);
  if (const auto section = root.table("score")) read_score(*section, config.run.score);
}

}  // namespace postern::config
