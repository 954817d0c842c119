#include "daemon/app/metrics.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "daemon/app/process_facts.h"
#include "observe/exposition.h"

namespace postern::app {

namespace {

using observe::Exposition;
using enum Exposition::Type;

double seconds(WallTime time) { return static_cast<double>(time.time_since_epoch().count()); }

void write_process(Exposition& out, const StatusSources& sources) {
  const ProcessFacts facts = process_facts();
  out.family("postern_build_info", Gauge, "The version that runs; always 1.");
  out.sample({{"version", POSTERN_VERSION}}, 1);
  out.family("process_cpu_seconds_total", Counter, "Time that all processors have spent on the process.");
  out.sample({}, facts.cpu_seconds);
  out.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.",
            static_cast<double>(facts.resident_octets));
  out.gauge("process_virtual_memory_bytes", "Address space of the process.", static_cast<double>(facts.virtual_octets));
  out.gauge("process_open_fds", "Descriptors that are open.", static_cast<double>(facts.descriptors));
  out.gauge("process_max_fds", "Descriptors that may be open.", static_cast<double>(facts.descriptors_max));
  out.gauge("process_threads", "Threads of the process.", static_cast<double>(facts.threads));
  out.gauge("process_start_time_seconds", "When the process started, in seconds since 1970.", facts.started_at);
  out.gauge("postern_workers", "Event loops.", static_cast<double>(sources.workers.size()));
  out.counter("postern_log_lines_lost_total", "Log lines that were dropped because stderr is not read fast enough.",
              sources.journal.lost_total());
}

void write_sessions(Exposition& out, const session::Counters& counters) {
  out.gauge("postern_sessions_open", "SMTP sessions that are open.", static_cast<double>(counters.sessions_open));
  out.counter("postern_sessions_total", "SMTP sessions that were accepted.", counters.sessions_total);
  out.family("postern_sessions_ended_total", Counter, "SMTP sessions that have ended, by how.");
  for (const auto& [outcome, count] : counters.sessions_ended) out.sample({{"outcome", outcome}}, count);
  out.family("postern_limit_hits_total", Counter, "Times that a client was refused something by a limit, by its key.");
  for (const auto& [limit, count] : counters.limits_hit) out.sample({{"limit", limit}}, count);
  out.counter("postern_accept_failures_total",
              "Times that a listener paused because descriptors or memory were wanting.", counters.accept_failures);
  out.counter("postern_connections_shed_total", "Connections that were closed unserved while descriptors were wanting.",
              counters.shed);
  out.counter("postern_received_bytes_total", "Octets that came over the sockets of SMTP sessions.",
              counters.octets_received);
  out.counter("postern_sent_bytes_total", "Octets that went over the sockets of SMTP sessions.", counters.octets_sent);
}

void write_tls(Exposition& out, const session::Counters& counters) {
  out.family("postern_tls_handshakes_total", Counter,
             "TLS handshakes of SMTP sessions, by outcome, version, and what was found for the name that was asked for.");
  for (const auto& [kind, count] : counters.handshakes) {
    out.sample({{"outcome", kind.outcome}, {"version", kind.version}, {"sni", kind.sni}}, count);
  }
  out.counter("postern_tls_resumptions_total", "TLS handshakes that resumed an earlier session.",
              counters.handshakes_resumed);
  out.family("postern_tls_handshake_duration_seconds", Histogram, "Time that TLS handshakes took which succeeded.");
  out.histogram({}, counters.handshake_duration);
  out.counter("postern_tls_key_queue_full_total", "TLS handshakes that ended because too many waited for an RSA key.",
              counters.key_queue_full);
}

void write_smtp(Exposition& out, const session::Counters& counters) {
  out.family("postern_smtp_commands_total", Counter, "SMTP commands, by verb.");
  for (std::size_t verb = 0; verb < counters.smtp.commands.size(); ++verb) {
    out.sample({{"verb", smtp::to_string(static_cast<smtp::Verb>(verb))}}, counters.smtp.commands[verb]);
  }
  out.family("postern_smtp_replies_total", Counter, "SMTP replies, by class.");
  for (std::size_t digit = 2; digit < counters.smtp.replies.size(); ++digit) {
    out.sample({{"class", std::to_string(digit) + "xx"}}, counters.smtp.replies[digit]);
  }
  out.family("postern_messages_total", Counter, "Messages that came whole, by the reply to the end of data.");
  out.sample({{"outcome", "taken"}}, counters.messages_taken);
  out.sample({{"outcome", "deferred"}}, counters.messages_deferred);
  out.sample({{"outcome", "refused"}}, counters.messages_refused);
  out.counter("postern_message_bytes_total", "Octets of the messages that came whole.", counters.message_octets);
  out.family("postern_recipients_total", Counter, "Recipients, by what became of them: a log line each.");
  for (const auto& [status, count] : counters.recipients) out.sample({{"status", status}}, count);
  out.family("postern_http_requests_total", Counter, "Requests to policy hosts and for ACME challenges, by status.");
  for (const auto& [status, count] : counters.http_requests) out.sample({{"status", std::to_string(status)}}, count);
}

/// A configuration may have thousands of backends, and each target has a dozen series.
constexpr std::size_t targets_max = 100;
constexpr const char* others = "other";

/// The first by name; the others together. Not the busiest: a counter that moved between the two would go back.
std::vector<control::BackendStatus> bounded(std::vector<control::BackendStatus> targets) {
  std::sort(targets.begin(), targets.end(), [](const auto& a, const auto& b) {
    return std::tie(a.name, a.target) < std::tie(b.name, b.target);
  });
  if (targets.size() <= targets_max) return targets;
  control::BackendStatus rest;
  rest.name = rest.target = others;
  for (std::size_t i = targets_max; i < targets.size(); ++i) {
    rest.connections += targets[i].connections;
    rest.idle += targets[i].idle;
    rest.waiting += targets[i].waiting;
    rest.failures += targets[i].failures;
    rest.up = rest.up && targets[i].up;
  }
  targets.resize(targets_max);
  targets.push_back(std::move(rest));
  return targets;
}

using HandOffs = std::map<std::string, session::HandOffCounts, std::less<>>;

/// Of the backends whose targets `shown` tells apart.
HandOffs bounded(const HandOffs& of_backends, const std::vector<control::BackendStatus>& shown) {
  if (shown.size() <= targets_max) return of_backends;
  std::set<std::string_view> apart;
  for (const control::BackendStatus& target : shown) apart.insert(target.name);
  HandOffs made;
  for (const auto& [backend, counts] : of_backends) made[apart.contains(backend) ? backend : others].add(counts);
  return made;
}

void write_backends(Exposition& out, const Overview& overview) {
  const auto targets = bounded(overview.backends);
  const auto hand_offs = bounded(overview.counters.hand_offs, targets);
  out.family("postern_backend_up", Gauge, "Whether all workers use this target; 0: at least one has found it dead.");
  for (const auto& one : targets) out.sample({{"backend", one.name}, {"target", one.target}}, one.up ? 1 : 0);
  out.family("postern_backend_connections", Gauge, "Connections to this target, by what they do.");
  for (const auto& one : targets) {
    out.sample({{"backend", one.name}, {"target", one.target}, {"state", "idle"}}, one.idle);
    out.sample({{"backend", one.name}, {"target", one.target}, {"state", "busy"}}, one.connections - one.idle);
  }
  out.family("postern_backend_waiting", Gauge, "Transactions in line for a connection to this target.");
  for (const auto& one : targets) out.sample({{"backend", one.name}, {"target", one.target}}, one.waiting);
  out.family("postern_backend_failures_total", Counter,
             "Times that this target could not be connected to, did not greet or did not answer.");
  for (const auto& one : targets) out.sample({{"backend", one.name}, {"target", one.target}}, one.failures);
  out.family("postern_backend_recipients_total", Counter, "Recipients of messages handed to this backend, by its answer.");
  for (const auto& [backend, counts] : hand_offs) {
    out.sample({{"backend", backend}, {"outcome", "taken"}}, counts.taken);
    out.sample({{"backend", backend}, {"outcome", "deferred"}}, counts.deferred);
    out.sample({{"backend", backend}, {"outcome", "refused"}}, counts.refused);
  }
  out.family("postern_backend_delivery_duration_seconds", Histogram,
             "Time from the client's end of data to this backend's last answer.");
  for (const auto& [backend, counts] : hand_offs) out.histogram({{"backend", backend}}, counts.duration);
}

void write_certificates(Exposition& out, const GenerationFacts& facts, Duration expires_within, WallTime now) {
  out.gauge("postern_certificates", "Certificates in the map.", static_cast<double>(facts.certificates));
  out.gauge("postern_certificate_names", "Names in the map.", static_cast<double>(facts.names));
  if (!facts.expiring.empty()) {
    out.gauge("postern_certificate_next_expiry_timestamp_seconds", "When the first of the served certificates ends.",
              seconds(facts.expiring.front().not_after));
  }
  out.family("postern_certificate_expiry_timestamp_seconds", Gauge,
             "When a served certificate ends: of those that end soon, or have ended, the first hundred.");
  for (const Expiring& each : facts.expiring) {
    if (each.not_after - now < expires_within) out.sample({{"name", each.name}}, seconds(each.not_after));
  }
  out.gauge("postern_faults", "What is wrong with certificates, keys and lists of users, in lines of postern status.",
            static_cast<double>(facts.faults.size()));
  out.counter("postern_certificate_loads_faulty_total", "Looks at certificates that found new faults.",
              facts.looks_failed);
  out.gauge("postern_certificate_map_version", "Version of the certificate map that is served.",
            static_cast<double>(facts.map_version));
  out.gauge("postern_certificate_map_pinned", "Whether an earlier version of the map is served on request.",
            facts.pinned_version != 0 ? 1 : 0);
  out.gauge("postern_certificate_map_held_back", "Whether a newer map lacks too many names to go live by itself.",
            facts.held_back.empty() ? 0 : 1);
}

void write_configuration(Exposition& out, const GenerationFacts& facts) {
  out.gauge("postern_config_generation", "Counts the configurations that were taken, from 1.",
            static_cast<double>(facts.config_generation));
  out.family("postern_config_reloads_total", Counter, "Reloads of the configuration, by whether it was taken.");
  out.sample({{"outcome", "taken"}}, facts.reloads_taken);
  out.sample({{"outcome", "refused"}}, facts.reloads_refused);
  out.gauge("postern_last_change_timestamp_seconds", "When another configuration or certificate map was last published.",
            seconds(facts.published_at));
}

void write_shared(Exposition& out, const StatusSources& sources) {
  const auto ledger = sources.shared.ledger->counts();
  out.gauge("postern_ledger_entries", "Recipients of whom the ledger knows what became of a message that comes again.",
            static_cast<double>(ledger.entries));
  out.family("postern_ledger_uses_total", Counter, "What the ledger was good for.");
  out.sample({{"use", "recorded"}}, ledger.recorded);
  out.sample({{"use", "deduplicated"}}, ledger.deduplicated);
  out.sample({{"use", "refused"}}, ledger.refused);
  out.sample({{"use", "separated"}}, ledger.separated);
  out.sample({{"use", "dropped"}}, ledger.dropped);
  out.counter("postern_ledger_write_failures_total", "Writes of the ledger that failed.", ledger.failures);
  const auto settings = sources.shared.settings.current();
  out.gauge("postern_message_memory_bytes", "Memory that messages take.",
            static_cast<double>(sources.shared.budgets.memory.used()));
  out.gauge("postern_message_memory_limit_bytes", "limits.message_memory",
            static_cast<double>(settings->message_memory_max));
  out.gauge("postern_message_spill_bytes", "Disk that messages take.",
            static_cast<double>(sources.shared.budgets.spill.used()));
  out.gauge("postern_message_spill_limit_bytes", "limits.spill_space", static_cast<double>(settings->spill_octets_max));
  out.gauge("postern_connections", "Connections that are open, of every protocol.",
            static_cast<double>(sources.shared.connections.total()));
  out.gauge("postern_connections_limit", "limits.connections",
            static_cast<double>(settings->connection_limits.connections));
}

/// Of all senders and domains together: their number is without bound, and `postern sni` knows them.
void write_score(Exposition& out, const ScoreKeeper& keeper) {
  const report::SinceStart& seen = keeper.since_start();
  out.family("postern_score_handshakes_total", Counter,
             "TLS handshakes of SMTP sessions, by what the client then made of the certificate.");
  for (std::size_t i = 0; i < report::reception_count; ++i) {
    const auto reception = static_cast<report::Reception>(i);
    out.sample({{"reception", to_string(reception)}}, seen.of_reception(reception));
  }
  out.counter("postern_score_downgrades_total",
              "Senders that came back in clear within five minutes after they had refused a handshake, or it failed.",
              seen.of(report::OfSender::Downgraded));
  out.family("postern_score_messages_total", Counter,
             "Messages that were taken, for each of their domains, by what an MTA-STS sender would make of the connection.");
  for (std::size_t i = 0; i < report::sts_count; ++i) {
    const auto verdict = static_cast<report::Sts>(i);
    const bool clear = verdict == report::Sts::Clear;
    out.sample({{"sts", to_string(verdict)}}, clear ? seen.of(report::OfDomain::InClear) : seen.of_sts(verdict));
  }
  out.sample({{"sts", "no-sni"}}, seen.of(report::OfDomain::WithoutSni));
  out.counter("postern_score_sessions_lost_total", "Sessions that the score lacks because it could not keep up.",
              keeper.dropped());
}

}  // namespace

std::string metrics_text(const StatusSources& sources, const Overview& overview, Duration expires_within, WallTime now) {
  Exposition out;
  write_process(out, sources);
  out.gauge("postern_ready", "What /readyz says: whether mail should be sent here.",
            not_ready(sources, overview).empty() ? 1 : 0);
  write_sessions(out, overview.counters);
  write_tls(out, overview.counters);
  write_smtp(out, overview.counters);
  write_backends(out, overview);
  const GenerationFacts facts = sources.reloader.facts();
  write_certificates(out, facts, expires_within, now);
  write_configuration(out, facts);
  write_shared(out, sources);
  write_score(out, *sources.shared.score);
  out.family("postern_loop_lag_seconds", Histogram, "How late the event loops of the workers came to a timer.");
  out.histogram({}, overview.counters.loop_lag);
  return out.text();
}

}  // namespace postern::app
