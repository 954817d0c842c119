#include "daemon/app/score_feed.h"

#include <utility>

namespace postern::app {

namespace {
constexpr std::size_t collected_max = 256;
constexpr Duration collected_for = std::chrono::seconds(1);
}  // namespace

ScoreFeed::ScoreFeed(uv::Loop& loop, ScoreKeeper& keeper)
    : loop_(loop), keeper_(keeper), timer_(loop, [this] { bring(); }) {}

void ScoreFeed::add(report::SessionFacts facts) {
  collected_.push_back(std::move(facts));
  if (collected_.size() >= collected_max) return bring();
  if (collected_.size() == 1) timer_.start_at(loop_.now() + collected_for);
}

void ScoreFeed::bring() {
  timer_.stop();
  if (!collected_.empty()) keeper_.take(std::exchange(collected_, {}));
}

}  // namespace postern::app
