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

void read_protocol(const Section& section, delivery::BackendSettings& backend) {
  section.require("deliver", "how mail goes there: \"lmtp\", \"smtp\" or \"smtp-proxy\"");
  const auto text = section.text("deliver");
  if (text && text->value == "smtp-proxy") {
    backend.pass_through = read_pass_through(section);
    return;
  }
  refuse_pass_through_keys(section);
  using delivery::Protocol;
  section.choice("deliver", backend.protocol,
                 {{"lmtp", Protocol::Lmtp}, {"smtp", Protocol::Smtp}, {"smtp-proxy", Protocol::Smtp}});  // the last is done
}

void read_tls(const Section& section, delivery::BackendTls& tls) {
  using Mode = delivery::BackendTls::Mode;
  section.choice("tls", tls.mode, {{"off", Mode::Off}, {"starttls", Mode::Starttls}, {"implicit", Mode::Implicit}});
  if (const auto text = section.text("tls_name")) {
    tls.name = DnsName::from_utf8(text->value);
    if (!tls.name) {
      section.error(text->place, "tls_name",
                    fmt::format("expected a host name such as \"store.example.net\", found \"{}\"",
                                escaped(text->value, 80)));
    }
  }
  section.path("tls_ca", tls.ca);
  section.path("tls_certificate", tls.certificate);
  tls.key = tls.certificate;
  section.path("tls_key", tls.key);
  if (section.has("tls_key") && !section.has("tls_certificate")) {
    section.error(section.place(), "tls_key", "needs tls_certificate, the certificate that it belongs to");
  }
  if (tls.mode != Mode::Off) return;
  for (const std::string_view key : {"tls_name", "tls_ca", "tls_certificate"}) {
    if (section.has(key)) section.warning(key, "means nothing without tls = \"starttls\" or \"implicit\"");
  }
}

/// TLS without a name to check is no more than a habit: where the target does not say one, the operator must.
void check_tls(const Section& section, const Place& place, const delivery::Target& target,
               const delivery::BackendTls& tls) {
  if (tls.mode == delivery::BackendTls::Mode::Off) {
    if (delivery::is_local(target) || section.has("tls")) return;
    section.error(place, "to",
                  fmt::format("{} is not on this machine, and mail would cross the network in clear: write tls = "
                              "\"starttls\" or \"implicit\" in this [[backend]], or tls = \"off\" if that network is trusted",
                              delivery::to_string(target)));
  } else if (!std::holds_alternative<delivery::HostTarget>(target) && !section.has("tls_name")) {
    section.error(place, "to",
                  fmt::format("{} is no host name that its certificate could be checked against: write tls_name = \"...\", "
                              "the name that stands in the certificate",
                              delivery::to_string(target)));
  }
}

void read_targets(const Section& section, delivery::BackendSettings& backend) {
  section.require("to", "where the backend listens, such as \"unix:/run/dovecot/lmtp\" or \"[::1]:24\"");
  read_tls(section, backend.tls);
  if (backend.pass_through && backend.tls.mode != delivery::BackendTls::Mode::Off) {
    section.error(section.place(), "tls",
                  "sessions are passed through in clear only: let the MTA listen on loopback or a trusted network and write "
                  "tls = \"off\"");
  }
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
    check_tls(section, text.place, *target, backend.tls);
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

/// `"verify"`, `"trust"`, or a table with a file.
void read_recipient_check(const Section& section, delivery::BackendSettings& backend) {
  if (!section.holds_table("recipients")) {
    section.choice("recipients", backend.recipients,
                   {{"verify", delivery::RecipientCheck::Verify}, {"trust", delivery::RecipientCheck::Trust}});
    return;
  }
  const auto table = *section.table("recipients");
  backend.recipients = delivery::RecipientCheck::Listed;
  table.require("file", "a list of users, one a line");
  table.path("file", backend.users.path);
  using Case = delivery::UserFile::LocalPartCase;
  table.choice("case", backend.users.local_part_case, {{"ignored", Case::Ignored}, {"counts", Case::Counts}});
  if (table.holds_empty_string("delimiter")) {
    backend.users.delimiters.clear();
  } else if (const auto text = table.text("delimiter")) {
    backend.users.delimiters = text->value;
    constexpr std::string_view atom_specials = "!#$%&'*+-/=?^_`{|}~.";
    if (text->value.find_first_not_of(atom_specials) != std::string::npos) {
      table.error(text->place, "delimiter",
                  fmt::format("expected one or more of {}, found \"{}\"", atom_specials, escaped(text->value, 80)));
    }
  }
}

}  // namespace

std::string read_backend_name(const Section& section, const UniqueNames& backends) {
  const auto backend = section.text("backend");
  if (!backend) return {};
  if (!backends.contains(backend->value)) {
    const auto nearest = nearest_word(backend->value, backends.all());
    section.error(backend->place, "backend",
                  fmt::format("there is no [[backend]] with name = \"{}\"{}", escaped(backend->value, 80),
                              nearest ? fmt::format("; did you mean \"{}\"?", escaped(*nearest, 80)) : ""));
  }
  return backend->value;
}

UniqueNames read_backends(const Section& root, RunConfig& run) {
  UniqueNames names("backend");
  for (const Section& section : root.tables("backend")) {
    delivery::BackendSettings backend;
    section.require("name", "what the [[domain]]s call it");
    if (const auto name = section.text("name"); name && names.claim(section, "name", name->place, name->value)) {
      backend.name = name->value;
    }
    read_protocol(section, backend);
    read_targets(section, backend);
    read_timeout(section, backend.timeouts);
    if (section.has("timeout") && backend.timeouts.after_dot > run.final_deadline) {
      section.warning("timeout",
                      fmt::format("after_dot ({}) is longer than timeouts.final ({}), which ends first",
                                  as_written(backend.timeouts.after_dot), as_written(run.final_deadline)));
    }
    read_recipient_check(section, backend);
    section.choice("balance", backend.balance,
                   {{"order", delivery::Balance::Order},
                    {"least", delivery::Balance::Least},
                    {"hash", delivery::Balance::Hash}});
    if (!backend.pass_through) {
      section.choice("identity", backend.identity,
                     {{"auto", delivery::Identity::Auto},
                      {"none", delivery::Identity::None},
                      {"xclient", delivery::Identity::Xclient},
                      {"xforward", delivery::Identity::Xforward}});
    }
    const bool to_mta = backend.protocol == delivery::Protocol::Smtp;
    backend.local_parts = to_mta ? delivery::LocalParts::Safe : delivery::LocalParts::Any;
    section.choice("local_parts", backend.local_parts,
                   {{"safe", delivery::LocalParts::Safe}, {"any", delivery::LocalParts::Any}});
    section.integer("max_connections", backend.connections_max, {std::size_t{1}, std::size_t{10'000}});
    section.duration("idle", backend.idle_max, {seconds(0), hours(24)});
    section.duration("max_age", backend.age_max, {seconds(1), hours(24)});
    section.duration("wait", backend.wait_max, {milliseconds(10), hours(1)});
    section.integer("max_waiting", backend.waiting_max, {std::size_t{0}, std::size_t{1'000'000}});
    section.duration("health", backend.health_interval, {seconds(0), hours(24)});
    run.backends.push_back(std::move(backend));
  }
  return names;
}

}  // namespace postern::config
