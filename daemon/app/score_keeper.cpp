#include "daemon/app/score_keeper.h"

#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <utility>

#include "daemon/session/state_file.h"

namespace postern::app {

namespace {

constexpr std::size_t on_the_way_max = 100'000;  // sessions
constexpr Duration saved_every = std::chrono::minutes(1);

}  // namespace

ScoreKeeper::ScoreKeeper(uv::Loop& loop, const std::string& state_dir, const report::ScoreSettings& settings,
                         session::Journal& journal)
    : loop_(loop),
      path_(state_dir + "/score"),
      journal_(journal),
      settings_(settings),
      score_(settings),
      save_timer_(loop, [this] { save(); }) {
  if (settings_.enabled) load();
}

void ScoreKeeper::load() {
  std::ifstream file(path_, std::ios::binary);
  if (!file) return;
  std::ostringstream content;
  content << file.rdbuf();
  auto read = report::Score::from_text(content.view(), settings_);
  if (read) {
    score_ = std::move(*read);
    score_.age(uv::wall_time());
    return;
  }
  const std::string aside = fmt::format("{}.damaged-{}", path_, uv::wall_time().time_since_epoch().count());
  const bool renamed = std::rename(path_.c_str(), aside.c_str()) == 0;
  journal_.note(observe::Level::Error,
                fmt::format("{}: {}; the score of senders begins anew{}", path_, read.error().text,
                            renamed ? ", and the file is kept as " + aside : ", and the file will be overwritten"));
}

void ScoreKeeper::take(std::vector<report::SessionFacts> facts) {
  if (on_the_way_.load(std::memory_order_relaxed) > on_the_way_max) {
    dropped_.fetch_add(facts.size(), std::memory_order_relaxed);
    return;
  }
  on_the_way_.fetch_add(facts.size(), std::memory_order_relaxed);
  loop_.post([this, brought = std::move(facts)] {
    on_the_way_.fetch_sub(brought.size(), std::memory_order_relaxed);
    for (const report::SessionFacts& each : brought) count(each);
  });
}

void ScoreKeeper::after_what_was_brought(std::function<void()> done) { loop_.post(std::move(done)); }

void ScoreKeeper::count(const report::SessionFacts& facts) {
  score_.add(facts);
  if (!std::exchange(changed_, true)) save_timer_.start_at(loop_.now() + saved_every);
}

void ScoreKeeper::configure(const report::ScoreSettings& settings) {
  if (settings == settings_) return;
  settings_ = settings;
  score_.configure(settings);
}

const report::Score& ScoreKeeper::score() {
  score_.age(uv::wall_time());
  return score_;
}

void ScoreKeeper::save() {
  if (writing_ || handed_over_) return;  // it asks again when it is done
  changed_ = false;
  score_.age(uv::wall_time());
  auto text = std::make_shared<const std::string>(score_.to_text());
  auto fault = std::make_shared<std::string>();
  writing_ = pool_.submit([path = path_, text, fault] { *fault = write(path, *text); }, loop_,
                          [this, fault] { wrote(*fault); });
}

void ScoreKeeper::wrote(const std::string& fault) {
  writing_ = false;
  if (!fault.empty() && fault != last_fault_) journal_.note(observe::Level::Error, fault);
  last_fault_ = fault;
  if (!fault.empty()) changed_ = true;
  if (changed_) save_timer_.start_at(loop_.now() + saved_every);
}

/// Empty when all is well.
std::string ScoreKeeper::write(const std::string& path, const std::string& text) {
  const auto done = session::replace_file(path, text, session::Readers::Owner);
  return done ? std::string() : done.error().text + ": the score of senders would be lost at a restart";
}

void ScoreKeeper::hand_over() {
  pool_.rest();
  write_now();
  handed_over_ = true;
}

void ScoreKeeper::take_back() {
  handed_over_ = false;
  if (changed_) save_timer_.start_at(loop_.now() + saved_every);
}

void ScoreKeeper::stop() {
  pool_.stop();
  write_now();
}

void ScoreKeeper::write_now() {
  if (!changed_ || handed_over_) return;
  changed_ = false;
  const std::string fault = write(path_, score_.to_text());
  if (!fault.empty()) journal_.note(observe::Level::Error, fault);
}

}  // namespace postern::app
