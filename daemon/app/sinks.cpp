#include "daemon/app/sinks.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "daemon/uv/loop.h"

namespace postern::app {

namespace {

constexpr std::size_t waiting_octets_max = 8 * 1024 * 1024;
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
  std::promise<void> written;
  if (thread_.submit([this, &written] {
        write_waiting();
        written.set_value();
      })) {
    written.get_future().wait();
  }
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
  return {format_, observe::Framing::Line, observe::AddressVeil(addresses_, address_key_)};
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
  tell(observe::Note{level, std::string(message), {}});
}

void StderrJournal::tell(const observe::Note& note) {
  if (note.level <= observe::Level::Warning) remember(note);
  log(note.level, note);
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
  if (!writing_) writing_ = thread_.submit([this] { write_waiting(); });
}

void StderrJournal::write_waiting() {
  for (;;) {
    std::string bytes;
    std::uint64_t lost = 0;
    {
      const std::lock_guard lock(mutex_);
      bytes = std::exchange(waiting_, {});
      lost = std::exchange(lost_, 0);
      writing_ = !bytes.empty();
      if (!writing_) return;
    }
    write_all(bytes);
    if (lost == 0) continue;
    const auto sentence = fmt::format("{} log lines were lost: stderr is not read fast enough", lost);
    write_all(observe::render(observe::Level::Warning, sentence, style(), uv::wall_time()) + "\n");
  }
}

}  // namespace postern::app
