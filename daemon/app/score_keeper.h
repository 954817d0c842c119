// Keeps the score of senders for the process, on the control loop: takes what the workers bring, writes it to state_dir
// now and then and at the end, and has it again after a restart. The file is written by a thread of its own, whole and
// beside the old one, whose place it takes then.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "daemon/session/journal.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/work_pool.h"
#include "report/score.h"

namespace postern::app {

class ScoreKeeper {
 public:
  /// Reads what an earlier process wrote, blocking. A file that cannot be used is set aside, and said.
  ScoreKeeper(uv::Loop& loop, const std::string& state_dir, const report::ScoreSettings& settings,
              session::Journal& journal);

  // From any thread:
  /// Dropped, and counted, when the control loop lags far behind.
  void take(std::vector<report::SessionFacts> facts);
  /// `done` is called on the control loop when everything is counted that was taken before.
  void after_what_was_brought(std::function<void()> done);

  // On the control loop:
  void configure(const report::ScoreSettings& settings);
  /// As of now.
  const report::Score& score();
  /// Counted since the start of this process, for metrics.
  const report::SinceStart& since_start() const { return score_.since_start(); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

  /// Writes the score; from then on the file is another process's. What is counted later is lost, unless it is taken back.
  void hand_over();
  void take_back();

  /// When the loop and the workers have ended: writes the score for the last time.
  void stop();

 private:
  void count(const report::SessionFacts& facts);
  void load();
  void save();
  void write_now();
  static std::string write(const std::string& path, const std::string& text);
  void wrote(const std::string& fault);

  uv::Loop& loop_;
  const std::string path_;
  session::Journal& journal_;
  report::ScoreSettings settings_;
  report::Score score_;
  std::atomic<std::size_t> on_the_way_{0};
  std::atomic<std::uint64_t> dropped_{0};
  bool changed_ = false;   // since it was written
  bool writing_ = false;
  bool handed_over_ = false;
  std::string last_fault_;
  uv::WorkPool pool_{{.name = "score", .threads = 1, .queue_max = 4, .nice = 10}};
  uv::Timer save_timer_;
};

}  // namespace postern::app
