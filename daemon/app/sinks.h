// Where log lines go: stderr, written by a thread of its own, so that a full pipe never stalls an event loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "daemon/session/journal.h"
#include "observe/log_line.h"

namespace spdlog {
class async_logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace postern::app {

class StderrJournal : public session::Journal {
 public:
  StderrJournal();
  /// Writes what waits.
  ~StderrJournal() override;

  void configure(observe::Level level, observe::LineFormat format);

  void record(const observe::SessionRecord& record) override;
  void record(const observe::RecipientRecord& record) override;
  void note(observe::Level level, std::string_view message) override;

 private:
  void write(std::string line);

  std::atomic<observe::Level> level_{observe::Level::Info};
  std::atomic<observe::LineFormat> format_{observe::LineFormat::Text};
  std::shared_ptr<spdlog::details::thread_pool> thread_;
  std::shared_ptr<spdlog::async_logger> logger_;
  std::atomic<std::size_t> lost_reported_{0};
};

}  // namespace postern::app
