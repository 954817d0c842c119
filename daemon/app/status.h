// Collects what `postern status` shows: counters are read, the workers are asked for their backends.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "control/protocol.h"
#include "daemon/app/reload.h"
#include "daemon/app/shared.h"
#include "daemon/app/worker.h"

namespace postern::app {

struct StatusSources {
  uv::Loop& control_loop;
  Shared& shared;
  const Reloader& reloader;
  const std::vector<std::unique_ptr<Worker>>& workers;
  const std::vector<Endpoint>& listeners;
  Instant started;
};

/// `reply` is called on the control loop, when every worker has answered.
void gather_status(const StatusSources& sources, std::function<void(control::Reply)> reply);

}  // namespace postern::app
