// What the sessions of one worker showed, on its way to the keeper of the score: collected for a second, so that nothing
// is locked for a session.
#pragma once

#include <vector>

#include "daemon/app/score_keeper.h"
#include "daemon/session/session_score.h"
#include "daemon/uv/loop.h"

namespace postern::app {

class ScoreFeed final : public session::ScoreSink {
 public:
  /// Used on `loop`'s thread.
  ScoreFeed(uv::Loop& loop, ScoreKeeper& keeper);

  void add(report::SessionFacts facts) override;
  /// Brings what there is.
  void bring();

 private:
  uv::Loop& loop_;
  ScoreKeeper& keeper_;
  std::vector<report::SessionFacts> collected_;
  uv::Timer timer_;
};

}  // namespace postern::app
