#include "config/keys.h"

#include <set>

#include "base/text.h"
#include "config/config.h"
#include "tests/support/catch.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("each key stands in the table once, and says what it is") {
  std::set<std::string_view> names;
  for (const Key& key : keys()) {
    INFO(key.name);
    CHECK(names.insert(key.name).second);
    CHECK_FALSE(key.type.empty());
    CHECK_FALSE(key.fallback.empty());
    CHECK_FALSE(key.meaning.empty());
  }
}

TEST_CASE("keys, sections, and what is neither") {
  CHECK(standing_of("hostname") == Standing::Key);
  CHECK(standing_of("limits") == Standing::Section);
  CHECK(standing_of("limits.errors") == Standing::Key);
  CHECK(standing_of("backend.timeout") == Standing::Section);
  CHECK(standing_of("backend.timeout.connect") == Standing::Key);
  CHECK(standing_of("listen.local") == Standing::Section);
  CHECK(standing_of("listen.local.192.0.2.1") == Standing::Section);
  CHECK(standing_of("listen.local.192.0.2.1.hostname") == Standing::Key);
  CHECK(standing_of("listen.local.2001:db8::1.hostname") == Standing::Key);
  CHECK(standing_of("listen.local.192.0.2.1.port") == Standing::Unknown);
  CHECK(standing_of("hostname.x") == Standing::Unknown);
  CHECK(standing_of("limit") == Standing::Unknown);
  CHECK(standing_of("") == Standing::Unknown);
}

TEST_CASE("suggestions: a near spelling, or the section where the key belongs") {
  CHECK(suggestion_for("hostnme") == "did you mean \"hostname\"?");
  CHECK(suggestion_for("limits.recipient") == "did you mean \"recipients\"?");
  CHECK(suggestion_for("backend.timeout.conect") == "did you mean \"connect\"?");
  CHECK(suggestion_for("log.message_size") == "did you mean \"limits.message_size\"?");
  CHECK(suggestion_for("zzzzzzzzzz").empty());
}

namespace {

std::string_view fallback_of(std::string_view name) {
  for (const Key& key : keys()) {
    if (key.name == name) {
      const std::string_view fallback = key.fallback;
      return fallback.starts_with('"') ? fallback.substr(1, fallback.size() - 2) : fallback;
    }
  }
  return {};
}

}  // namespace

TEST_CASE("the table's defaults are those of the structs") {
  const RunConfig run;
  const StartConfig start;
  CHECK(fallback_of("workers") == std::to_string(start.workers));
  CHECK(fallback_of("state_dir") == start.state_dir);
  CHECK(fallback_of("control") == start.control);
  CHECK(fallback_of("tls.tickets") == std::to_string(run.tls.tickets));
  CHECK(fallback_of("limits.recipients") == std::to_string(run.smtp.limits.recipients_max));
  CHECK(fallback_of("limits.errors") == std::to_string(run.smtp.limits.errors_max));
  CHECK(fallback_of("limits.commands") == std::to_string(run.smtp.limits.commands_max));
  CHECK(fallback_of("limits.pipeline_depth") == std::to_string(run.smtp.limits.pipeline_depth));
  CHECK(fallback_of("limits.connections") == std::to_string(run.connection_limits.connections));
  CHECK(fallback_of("limits.connections_per_address") == std::to_string(run.connection_limits.connections_per_address));
  CHECK(fallback_of("limits.connections_per_network") == std::to_string(run.connection_limits.connections_per_network));
  CHECK(run.message_memory_max == 512ull * 1024 * 1024);
  CHECK(run.spill_octets_max == 8'000'000'000);
  CHECK(fallback_of("backend.max_connections") == std::to_string(delivery::BackendSettings().connections_max));

  CHECK(parse_size(fallback_of("smtp.spill_at")) == run.spill_at);
  CHECK(parse_size(fallback_of("limits.message_size")) == run.smtp.limits.message_octets_max);
  CHECK(parse_size(fallback_of("limits.command_length")) == run.smtp.limits.command_line_octets_max);
  CHECK(parse_size(fallback_of("limits.line_length")) == run.smtp.limits.text_line_octets_max);

  CHECK(parse_duration(fallback_of("timeouts.command")) == run.smtp.timeouts.command);
  CHECK(parse_duration(fallback_of("timeouts.data")) == run.smtp.timeouts.data);
  CHECK(parse_duration(fallback_of("timeouts.handshake")) == run.smtp.timeouts.handshake);
  CHECK(parse_duration(fallback_of("timeouts.drain")) == run.drain);
  CHECK(parse_duration(fallback_of("timeouts.final")) == run.final_deadline);
  const delivery::BackendSettings backend;
  CHECK(parse_duration(fallback_of("backend.timeout.connect")) == backend.timeouts.connect);
  CHECK(parse_duration(fallback_of("backend.timeout.command")) == backend.timeouts.command);
  CHECK(parse_duration(fallback_of("backend.timeout.after_dot")) == backend.timeouts.after_dot);
  CHECK(parse_duration(fallback_of("backend.idle")) == backend.idle_max);

  CHECK(fallback_of("listen.tls") == "starttls");
  CHECK(Listener().tls == ListenerTls::Starttls);
  CHECK(fallback_of("tls.min_version") == "1.2");
  CHECK(run.tls.min_version == tls::Version::Tls12);
  CHECK(fallback_of("certificates.names") == "all");
  CHECK(run.certificates.names == certs::Names::All);
  CHECK(fallback_of("smtp.smuggling") == "reject");
  CHECK(run.smtp.smuggling == smtp::Smuggling::Reject);
  CHECK(fallback_of("smtp.strict") == "false");
  CHECK_FALSE(run.smtp.strict);
  CHECK(fallback_of("log.level") == "info");
  CHECK(run.log.level == LogLevel::Info);
  CHECK(fallback_of("log.format") == "text");
  CHECK(run.log.format == LogFormat::Text);
  CHECK(fallback_of("log.addresses") == "full");
  CHECK(run.log.addresses == LogAddresses::Full);
  CHECK(fallback_of("backend.recipients") == "verify");
  CHECK(backend.recipients == delivery::RecipientCheck::Verify);
}
