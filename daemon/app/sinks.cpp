#include "daemon/app/sinks.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <string_view>
#include <utility>
#include <vector>

#include "base/text.h"
#include "daemon/uv/loop.h"

namespace postern::app {

namespace {

constexpr std::size_t waiting_octets_max = 8 * 1024 * 1024;
// How long a line waits at most that comes soon after another: to wake the thread for each line of a busy server costs
// its workers four system calls.
constexpr std::chrono::milliseconds between_writes{10};
constexpr std::size_t troubles_max = 20;
constexpr std::size_t trouble_octets_max = 500;

/// Blocks until stderr has taken everything, or is broken.
void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(STDERR_FILENO, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {  // somebody else who has the same pipe made it non-blocking
      pollfd writable{STDERR_FILENO, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace

StderrJournal::~StderrJournal() {
  say(repeats_.finish(uv::monotonic_now()));
  flush();
}

/// Blocks until all is written that was there before.
void StderrJournal::flush() {
  std::promise<void> written;
  if (thread_.submit([this, &written] {
        write_waiting();
        written.set_value();
      })) {
    written.get_future().wait();
  }
}

void StderrJournal::stay_with_standard_error() {
  if (!to_system_journal_) return;
  flush();
  to_system_journal_ = false;
}

void StderrJournal::configure(observe::Level level, observe::LineFormat format, observe::Addresses addresses) {
  level_ = level;
  const std::lock_guard lock(style_mutex_);
  format_ = format;
  addresses_ = addresses;
}

void StderrJournal::set_address_key(const observe::AddressKey& key) {
  const std::lock_guard lock(style_mutex_);
  address_key_ = key;
}

observe::LineStyle StderrJournal::style() const {
  const std::lock_guard lock(style_mutex_);
  const auto framing = to_system_journal_ ? observe::Framing::JournalEntry : observe::Framing::Line;
  return {format_, framing, observe::AddressVeil(addresses_, address_key_)};
}

template <class What>
void StderrJournal::log(observe::Level level, const What& what) {
  if (level_ >= level) append(observe::render(what, style(), uv::wall_time()));
}

void StderrJournal::record(const observe::SessionRecord& record) { log(observe::Level::Info, record); }

void StderrJournal::record(const observe::RecipientRecord& record) { log(observe::Level::Info, record); }

void StderrJournal::record(const observe::HttpRecord& record) { log(observe::Level::Info, record); }

void StderrJournal::refused(const observe::RefusedCommand& refused) { log(observe::Level::Info, refused); }

void StderrJournal::note(observe::Level level, std::string_view message) {
  tell(observe::Note{.level = level, .message = std::string(message)});
}

void StderrJournal::tell(const observe::Note& note) {
  std::vector<observe::Note> written;
  {
    const std::lock_guard lock(repeats_mutex_);
    written = repeats_.admit(note, uv::monotonic_now());
  }
  say(written);
}

void StderrJournal::sum_up_repeats() {
  std::vector<observe::Note> sums;
  {
    const std::lock_guard lock(repeats_mutex_);
    sums = repeats_.due(uv::monotonic_now());
  }
  say(sums);
}

void StderrJournal::say(const std::vector<observe::Note>& notes) {
  for (const observe::Note& note : notes) {
    if (note.level <= observe::Level::Warning) remember(note);
    log(note.level, note);
  }
}

void StderrJournal::remember(const observe::Note& note) {
  const auto veil = style().addresses;
  std::string text = veil.hides() ? veil.text(note.message, note.addresses) : note.message;
  if (text.size() > trouble_octets_max) text.replace(trouble_octets_max, std::string::npos, " ...");
  const std::lock_guard lock(mutex_);
  troubles_.push_front({rfc3339(uv::wall_time()), std::string(observe::to_string(note.level)), std::move(text)});
  if (troubles_.size() > troubles_max) troubles_.pop_back();
}

std::vector<control::LoggedLine> StderrJournal::troubles() const {
  const std::lock_guard lock(mutex_);
  return {troubles_.begin(), troubles_.end()};
}

void StderrJournal::append(const std::string& line) {
  const std::lock_guard lock(mutex_);
  if (waiting_.size() + line.size() >= waiting_octets_max) {
    ++lost_;
    ++lost_total_;
    return;
  }
  waiting_ += line;
  waiting_ += '\n';
  if (!writing_) {
    writing_ = thread_.submit([this] { write_and_pause(); });
  } else if (much_waits()) {
    hurry_.notify_one();
  }
}

bool StderrJournal::much_waits() const { return waiting_.size() > waiting_octets_max / 2; }

/// One round: between two of them flush() has its turn, however busy the log is.
void StderrJournal::write_and_pause() {
  write_waiting();
  std::unique_lock lock(mutex_);
  hurry_.wait_for(lock, between_writes, [this] { return much_waits(); });
  writing_ = !waiting_.empty() && thread_.submit([this] { write_and_pause(); });
}

void StderrJournal::write_waiting() {
  std::string bytes;
  std::uint64_t lost = 0;
  {
    const std::lock_guard lock(mutex_);
    bytes = std::exchange(waiting_, {});
    lost = std::exchange(lost_, 0);
  }
  write(bytes);
  if (lost == 0) return;
  const auto sentence = fmt::format("{} log lines were lost: stderr is not read fast enough", lost);
  write(observe::render(observe::Level::Warning, sentence, style(), uv::wall_time()) + "\n");
}

void StderrJournal::write(std::string_view waiting) const {
  if (!to_system_journal_) return write_all(waiting);
  while (!waiting.empty()) {
    const auto end = waiting.find("\n\n");
    const auto entry = waiting.substr(0, end == std::string_view::npos ? end : end + 1);
    // Standard error leads to the same place by another door: a line there is better than none.
    if (!system_journal_->send(entry)) write_all(SystemJournal::as_line(entry));
    waiting.remove_prefix(end == std::string_view::npos ? waiting.size() : end + 2);
  }
}

}  // namespace postern::app
