// `[[backend]]`.
#include <fmt/format.h>

#include "base/text.h"
#include "config/readers.h"

namespace postern::config {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Range<Duration> timeout_range{milliseconds(100), hours(1)};

void read_protocol(const Section& section) {
  section.require("deliver", "the protocol that the backend speaks; \"lmtp\"");
  const auto text = section.text("deliver");
  if (!text || text->value == "lmtp") return;
  if (text->value == "smtp" || text->value == "smtp-proxy") {
    section.error(text->place, "deliver",
                  fmt::format("\"{}\" is not supported by this version; \"lmtp\" is", text->value));
  } else {
    section.error(text->place, "deliver", fmt::format("expected \"lmtp\", found \"{}\"", escaped(text->value, 80)));
  }
}

/// Whether plain TCP to the target stays on this machine.
bool is_local(const delivery::Target& target) {
  if (const auto* endpoint = std::get_if<Endpoint>(&target)) return endpoint->address.is_loopback();
  if (const auto* host = std::get_if<delivery::HostTarget>(&target)) return host->host.text() == "localhost";
  return true;
}

enum class BackendTls { Unsaid, Off };

BackendTls read_tls(const Section& section) {
  const auto text = section.text("tls");
  if (!text) return BackendTls::Unsaid;
  if (text->value != "off") {
    section.error(text->place, "tls",
                  fmt::format("expected \"off\", found \"{}\"; TLS to backends is not supported by this version",
                              escaped(text->value, 80)));
  }
  return BackendTls::Off;
}

void read_targets(const Section& section, delivery::BackendSettings& backend) {
  section.require("to", "where the backend listens, such as \"unix:/run/dovecot/lmtp\" or \"[::1]:24\"");
  const BackendTls tls = read_tls(section);
  const auto texts = section.texts("to");
  if (texts.empty() && section.has("to")) section.error(section.place(), "to", "holds no target: name at least one");
  for (const Text& text : texts) {
    const auto target = delivery::parse_target(text.value);
    if (!target) {
      section.error(text.place, "to",
                    fmt::format("expected \"unix:/absolute/path\", \"address:port\" or \"host.name:port\", found \"{}\"",
                                escaped(text.value, 80)));
      continue;
    }
    if (!is_local(*target) && tls == BackendTls::Unsaid) {
      section.error(text.place, "to",
                    fmt::format("{} is not on this machine, and mail would cross the network in clear; if that network "
                                "is trusted, write tls = \"off\" in this [[backend]]",
                                delivery::to_string(*target)));
    }
    backend.targets.push_back(*target);
  }
}

void read_timeout(const Section& section, delivery::BackendTimeouts& timeouts) {
  if (section.holds_string("timeout")) {
    section.duration("timeout", timeouts.connect, timeout_range);
    timeouts.command = timeouts.after_dot = timeouts.connect;
  } else if (const auto table = section.table("timeout")) {
    table->duration("connect", timeouts.connect, timeout_range);
    table->duration("command", timeouts.command, timeout_range);
    table->duration("after_dot", timeouts.after_dot, timeout_range);
  }
}

}  // namespace

UniqueNames read_backends(const Section& root, RunConfig& run) {
  UniqueNames names("backend");
  for (const Section& section : root.tables("backend")) {
    delivery::BackendSettings backend;
    section.require("name", "what the [[domain]]s call it");
    if (const auto name = section.text("name"); name && names.claim(section, "name", name->place, name->value)) {
      backend.name = name->value;
    }
    read_protocol(section);
    read_targets(section, backend);
    read_timeout(section, backend.timeouts);
    if (section.has("timeout") && backend.timeouts.after_dot > run.final_deadline) {
      section.warning("timeout",
                      fmt::format("after_dot ({}) is longer than timeouts.final ({}), which ends first",
                                  as_written(backend.timeouts.after_dot), as_written(run.final_deadline)));
    }
    section.choice("recipients", backend.recipients,
                   {{"verify", delivery::RecipientCheck::Verify}, {"trust", delivery::RecipientCheck::Trust}});
    section.integer("max_connections", backend.connections_max, {std::size_t{1}, std::size_t{10'000}});
    section.duration("idle", backend.idle_max, {seconds(0), hours(24)});
    run.backends.push_back(std::move(backend));
  }
  return names;
}

}  // namespace postern::config
