// How posternd is: the workers are asked, their answers added up. `postern status`, `postern sessions`, the metrics and
// readiness are made of it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/protocol.h"
#include "daemon/app/rates.h"
#include "daemon/app/reload.h"
#include "daemon/app/shared.h"
#include "daemon/app/worker.h"

namespace postern::app {

/// Where it is read; all of it on the control loop.
struct StatusSources {
  uv::Loop& control_loop;
  Shared& shared;
  const StderrJournal& journal;
  const Reloader& reloader;
  const std::vector<std::unique_ptr<Worker>>& workers;
  const std::vector<Endpoint>& listeners;
  const std::vector<std::string>& admin_listeners;
  const Rates& rates;
  Instant started;
  bool draining = false;
  bool ending = false;
};

/// What all workers together have said.
struct Overview {
  session::Counters counters;
  std::vector<control::WorkerStatus> per_worker;
  std::vector<control::BackendStatus> backends;
  std::uint64_t sessions_matching = 0;
  std::vector<session::SessionView> sessions;
};

/// Which sessions are wanted besides; none.
struct SessionsWanted {
  std::size_t count_max = 0;
  std::string text;
};

/// `done` is called on the control loop, when every worker has answered.
void ask_workers(const StatusSources& sources, const SessionsWanted& wanted, std::function<void(Overview)> done);

/// Why no more mail should be sent here; empty: it should.
std::vector<std::string> not_ready(const StatusSources& sources, const Overview& overview);

control::StatusReply status_reply(const StatusSources& sources, const Overview& overview);
control::SessionsReply sessions_reply(Overview overview, std::size_t count_max);

}  // namespace postern::app
