// Where log lines go: stderr, or systemd's journal where that is what stderr leads to; written by a thread of its own, so
// that a full pipe never stalls an event loop.
//
// Not spdlog: of its work only the queue and the thread would be left to do (lines are rendered by observe/log_line),
// and a queue of lines means a write(2) for each, where this one writes all that waits at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/protocol.h"
#include "daemon/app/system_journal.h"
#include "daemon/session/journal.h"
#include "daemon/uv/work_pool.h"
#include "observe/log_line.h"
#include "observe/repeats.h"

namespace postern::app {

class StderrJournal : public session::Journal {
 public:
  StderrJournal() = default;
  /// Writes what waits.
  ~StderrJournal() override;

  /// Until set_address_key() was called, addresses that are to show as digests show as their domain.
  void configure(observe::Level level, observe::LineFormat format, observe::Addresses addresses);
  void set_address_key(const observe::AddressKey& key);
  /// Standard error leads somewhere else from here on, say into a file: no more entries for systemd's journal.
  void stay_with_standard_error();
  /// See WorkPool::rest().
  void rest() { thread_.rest(); }
  void set_level(observe::Level level) { level_ = level; }
  observe::Level level() const { return level_; }
  /// The latest warnings and errors, the latest first; also those that the level keeps out of the log.
  std::vector<control::LoggedLine> troubles() const;
  /// Says how often was said what need not be said each time (observe/repeats.h). For who comes by every few seconds.
  void sum_up_repeats();
  /// Lines that were lost since the start, because stderr was not read fast enough.
  std::uint64_t lost_total() const { return lost_total_.load(std::memory_order_relaxed); }

  void record(const observe::SessionRecord& record) override;
  void record(const observe::RecipientRecord& record) override;
  void record(const observe::HttpRecord& record) override;
  void note(observe::Level level, std::string_view message) override;
  void tell(const observe::Note& note) override;
  void refused(const observe::RefusedCommand& refused) override;

 private:
  observe::LineStyle style() const;
  /// `what`: anything that log_line renders.
  template <class What>
  void log(observe::Level level, const What& what);
  void append(const std::string& line);
  /// With the mutex held.
  bool much_waits() const;
  void write_and_pause();
  void write_waiting();
  void say(const std::vector<observe::Note>& notes);
  void remember(const observe::Note& note);
  void write(std::string_view waiting) const;
  void flush();

  std::atomic<observe::Level> level_{observe::Level::Info};
  std::atomic<std::uint64_t> lost_total_{0};

  mutable std::mutex style_mutex_;
  observe::LineFormat format_ = observe::LineFormat::Text;
  observe::Addresses addresses_ = observe::Addresses::Full;
  std::optional<observe::AddressKey> address_key_;

  std::mutex repeats_mutex_;
  observe::Repeats repeats_;

  const std::unique_ptr<const SystemJournal> system_journal_ = SystemJournal::of_standard_error();
  std::atomic<bool> to_system_journal_{system_journal_ != nullptr};

  mutable std::mutex mutex_;
  std::string waiting_;          // whole lines, or entries with an empty line behind each
  bool writing_ = false;         // the thread has been asked for write_and_pause()
  std::uint64_t lost_ = 0;       // lines that found no room, since this was last said
  std::condition_variable hurry_;  // much is waiting
  std::deque<control::LoggedLine> troubles_;

  uv::WorkPool thread_{{.name = "log", .threads = 1, .queue_max = 4, .nice = 0}};  // last: joined before the rest goes
};

}  // namespace postern::app
