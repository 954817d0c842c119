#include "daemon/app/status.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

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
  if (!target.last_failure.empty()) sum->last_failure = target.last_failure;
}

control::StatusReply process_status(const StatusSources& sources) {
  control::StatusReply status;
  status.version = POSTERN_VERSION;
  status.pid = static_cast<std::uint64_t>(::getpid());
  status.uptime_seconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(uv::monotonic_now() - sources.started).count());
  status.workers = sources.workers.size();
  for (const auto& worker : sources.workers) {
    const session::Counters& counters = worker->counters();
    status.sessions += counters.sessions_open.load(std::memory_order_relaxed);
    status.sessions_total += counters.sessions_total.load(std::memory_order_relaxed);
    status.messages_total += counters.messages_taken.load(std::memory_order_relaxed);
    status.key_queue_full += counters.key_queue_full.load(std::memory_order_relaxed);
  }
  const GenerationFacts facts = sources.reloader.facts();
  status.names = facts.names;
  status.certificates = facts.certificates;
  status.map_version = facts.map_version;
  status.pinned_version = facts.pinned_version;
  status.held_back = facts.held_back;
  status.config_generation = facts.config_generation;
  status.faults = facts.faults;
  const auto ledger = sources.shared.ledger->counts();
  status.ledger = {ledger.entries,   ledger.recorded, ledger.deduplicated, ledger.refused,
                   ledger.separated, ledger.dropped,  ledger.failures,     ledger.last_failure};
  const auto settings = sources.shared.settings.current();
  for (const Endpoint& address : sources.listeners) {
    status.listeners.push_back({address.text(), std::string(to_string(settings->listeners.at(address).tls))});
  }
  return status;
}

}  // namespace

void gather_status(const StatusSources& sources, std::function<void(control::Reply)> reply) {
  struct Gathering {
    control::StatusReply status;
    std::size_t workers_open;
    std::function<void(control::Reply)> reply;
  };
  auto gathering = std::make_shared<Gathering>(Gathering{process_status(sources), sources.workers.size(), std::move(reply)});
  for (const auto& worker : sources.workers) {
    worker->ask_backends([gathering, &loop = sources.control_loop](std::vector<session::TargetStatus> targets) {
      // Back to the control loop: `gathering` is touched there only.
      loop.post([gathering, targets = std::move(targets)] {
        for (const session::TargetStatus& target : targets) add(gathering->status.backends, target);
        if (--gathering->workers_open == 0) gathering->reply(std::move(gathering->status));
      });
    });
  }
}

}  // namespace postern::app
