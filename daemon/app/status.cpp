#include "daemon/app/status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "daemon/app/process_facts.h"

namespace postern::app {

namespace {

std::string_view to_string(session::ListenerTls tls) {
  switch (tls) {
    case session::ListenerTls::None: return "none";
    case session::ListenerTls::Starttls: return "starttls";
    case session::ListenerTls::Implicit: return "implicit";
  }
  return "";
}

std::string_view to_string(session::ListenerProtocol protocol) {
  switch (protocol) {
    case session::ListenerProtocol::Smtp: return "smtp";
    case session::ListenerProtocol::MtaSts: return "mta-sts";
    case session::ListenerProtocol::Acme: return "acme";
  }
  return "";
}

/// Adds one worker's view of a target to the sum over all workers.
void add(std::vector<control::BackendStatus>& sums, const session::TargetStatus& target) {
  auto sum = std::find_if(sums.begin(), sums.end(), [&](const control::BackendStatus& one) {
    return one.name == target.backend && one.target == target.target;
  });
  if (sum == sums.end()) {
    sums.push_back({});
    sum = sums.end() - 1;
    sum->name = target.backend;
    sum->target = target.target;
  }
  sum->connections += target.open;
  sum->idle += target.idle;
  sum->waiting += target.waiting;
  sum->failures += target.failures;
  // One worker's trouble is news.
  if (!target.up) sum->up = false;
  const auto down_for = std::chrono::floor<std::chrono::seconds>(target.down_for).count();
  sum->down_seconds = std::max(sum->down_seconds, static_cast<std::uint64_t>(down_for));
  if (!target.last_failure.empty()) sum->last_failure = target.last_failure;
}

void add(Overview& overview, WorkerReport report) {
  const session::Counters& counters = report.counters;
  overview.per_worker.push_back({counters.sessions_open, counters.sessions_total, counters.messages_taken});
  overview.counters.add(counters);
  for (const session::TargetStatus& target : report.backends) add(overview.backends, target);
  overview.sessions_matching += report.sessions_matching;
  for (auto& view : report.sessions) overview.sessions.push_back(std::move(view));
}

control::SessionRow row_of(session::SessionView view) {
  observe::SessionRecord& record = view.record;
  control::SessionRow row;
  row.id = std::move(record.id);
  row.peer = record.peer.text();
  row.local = record.local.text();
  row.client_name = std::move(record.client_name);
  row.tls_version = std::move(record.tls_version);
  row.sni = std::move(record.sni);
  row.doing = view.doing;
  row.milliseconds =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(record.total).count());
  row.messages = record.messages;
  row.recipients = record.recipients;
  row.octets = record.octets;
  return row;
}

}  // namespace

void ask_workers(const StatusSources& sources, const SessionsWanted& wanted, std::function<void(Overview)> done) {
  struct Gathering {
    Overview overview;
    std::size_t workers_open;
    std::function<void(Overview)> done;
  };
  auto gathering = std::make_shared<Gathering>(Gathering{{}, sources.workers.size(), std::move(done)});
  for (const auto& worker : sources.workers) {
    worker->ask(
        [gathering, &loop = sources.control_loop](const WorkerReport& report) {
          // Back to the control loop: `gathering` is touched there only.
          loop.post([gathering, report] {
            add(gathering->overview, report);
            if (--gathering->workers_open == 0) gathering->done(std::move(gathering->overview));
          });
        },
        wanted.count_max, wanted.text);
  }
}

std::vector<std::string> not_ready(const StatusSources& sources, const Overview& overview) {
  std::vector<std::string> reasons;
  if (sources.ending) reasons.emplace_back("posternd is ending");
  if (sources.draining) reasons.emplace_back("draining");
  if (!sources.shared.tls.current()->contexts.empty() && sources.reloader.facts().certificates == 0) {
    reasons.emplace_back("no certificate is loaded");
  }
  const bool none_up = std::none_of(overview.backends.begin(), overview.backends.end(),
                                    [](const control::BackendStatus& backend) { return backend.up; });
  if (!overview.backends.empty() && none_up) reasons.emplace_back("no backend is up");
  return reasons;
}

control::StatusReply status_reply(const StatusSources& sources, const Overview& overview) {
  control::StatusReply status;
  status.version = POSTERN_VERSION;
  status.pid = static_cast<std::uint64_t>(::getpid());
  status.uptime_seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(uv::monotonic_now() - sources.started).count());
  status.workers = sources.workers.size();
  status.not_ready = not_ready(sources, overview);
  status.ready = status.not_ready.empty();
  status.draining = sources.draining;
  status.log_level = observe::to_string(sources.journal.level());
  const ProcessFacts process = process_facts();
  status.memory_octets = process.resident_octets;
  status.message_memory_octets = sources.shared.budgets.memory.used();
  status.descriptors = process.descriptors;
  status.descriptors_max = process.descriptors_max;
  const auto minute = sources.rates.last_minute();
  status.rates = {minute.milliseconds / 1000, minute.sessions, minute.messages, minute.octets};
  status.per_worker = overview.per_worker;
  status.sessions = overview.counters.sessions_open;
  status.sessions_total = overview.counters.sessions_total;
  status.messages_total = overview.counters.messages_taken;
  status.key_queue_full = overview.counters.key_queue_full;
  GenerationFacts facts = sources.reloader.facts();
  status.names = facts.names;
  status.certificates = facts.certificates;
  status.map_version = facts.map_version;
  status.pinned_version = facts.pinned_version;
  status.held_back = std::move(facts.held_back);
  status.config_generation = facts.config_generation;
  status.faults = std::move(facts.faults);
  const auto ledger = sources.shared.ledger->counts();
  status.ledger = {ledger.entries,   ledger.recorded, ledger.deduplicated, ledger.refused,
                   ledger.separated, ledger.dropped,  ledger.failures,     ledger.last_failure};
  const auto settings = sources.shared.settings.current();
  for (const Endpoint& address : sources.listeners) {
    const session::ListenerSettings& listener = settings->listeners.at(address);
    status.listeners.push_back(
        {address.text(), std::string(to_string(listener.protocol)), std::string(to_string(listener.tls))});
  }
  for (const std::string& address : sources.admin_listeners) status.listeners.push_back({address, "admin", "none"});
  status.backends = overview.backends;
  return status;
}

control::SessionsReply sessions_reply(Overview overview, std::size_t count_max) {
  auto& sessions = overview.sessions;
  std::sort(sessions.begin(), sessions.end(),
            [](const auto& a, const auto& b) { return a.record.total > b.record.total; });
  if (sessions.size() > count_max) sessions.resize(count_max);
  control::SessionsReply reply;
  reply.matching = overview.sessions_matching;
  for (auto& view : sessions) reply.sessions.push_back(row_of(std::move(view)));
  return reply;
}

}  // namespace postern::app
