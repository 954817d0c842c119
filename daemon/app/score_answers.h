// What `postern sni` shows, made of the score, the MX names of the configuration and the certificates that are served.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/shared_view.h"
#include "control/protocol.h"
#include "daemon/app/score_keeper.h"
#include "daemon/app/worker.h"
#include "daemon/session/settings.h"

namespace postern::app {

struct ScoreSources {
  ScoreKeeper& keeper;
  Publisher<session::RunSettings>& settings;
  Publisher<session::TlsGeneration>& tls;
  const std::vector<std::unique_ptr<Worker>>& workers;
};

bool asks_score(const control::Request& request);

/// `reply` is called on the control loop, when every worker has brought what it counted.
void answer_from_score(const ScoreSources& sources, const control::Request& request,
                       std::function<void(control::Reply)> reply);
/// Several requests, answered as of one moment; in their order.
void answer_from_score(const ScoreSources& sources, std::vector<control::Request> requests,
                       std::function<void(std::vector<control::Reply>)> reply);

}  // namespace postern::app
