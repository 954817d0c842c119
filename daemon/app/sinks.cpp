#include "daemon/app/sinks.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <utility>

#include "daemon/uv/loop.h"

namespace postern::app {

namespace {
constexpr std::size_t lines_waiting_max = 65'536;
}

StderrJournal::StderrJournal() {
  thread_ = std::make_shared<spdlog::details::thread_pool>(lines_waiting_max, 1);
  logger_ = std::make_shared<spdlog::async_logger>("postern", std::make_shared<spdlog::sinks::stderr_sink_mt>(), thread_,
                                                   spdlog::async_overflow_policy::overrun_oldest);
  // Lines come rendered; levels are our own.
  logger_->set_pattern("%v");
  logger_->set_level(spdlog::level::info);
  logger_->flush_on(spdlog::level::info);
}

StderrJournal::~StderrJournal() = default;

void StderrJournal::configure(observe::Level level, observe::LineFormat format) {
  level_ = level;
  format_ = format;
}

void StderrJournal::record(const observe::SessionRecord& record) {
  if (level_ < observe::Level::Info) return;
  write(observe::render(record, format_, uv::wall_time()));
}

void StderrJournal::record(const observe::RecipientRecord& record) {
  if (level_ < observe::Level::Info) return;
  write(observe::render(record, format_, uv::wall_time()));
}

void StderrJournal::note(observe::Level level, std::string_view message) {
  if (level_ < level) return;
  write(observe::render(level, message, format_, uv::wall_time()));
}

void StderrJournal::write(std::string line) {
  const std::size_t lost = thread_->overrun_counter();
  if (lost > lost_reported_.exchange(lost)) {
    logger_->info(observe::render(observe::Level::Warning,
                                  fmt::format("{} log lines were lost: stderr is not read fast enough", lost), format_,
                                  uv::wall_time()));
  }
  logger_->info(std::move(line));
}

}  // namespace postern::app
