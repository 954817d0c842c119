#include "daemon/app/system_journal.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace postern::app {

namespace {

constexpr char socket_path[] = "/run/systemd/journal/socket";

/// `value` of the part `name=value`, without its LF; empty when there is none.
std::string_view part(std::string_view entry, std::string_view name) {
  while (!entry.empty()) {
    const auto line = entry.substr(0, entry.find('\n'));
    if (line.starts_with(name) && line.substr(name.size()).starts_with('=')) return line.substr(name.size() + 1);
    entry.remove_prefix(std::min(line.size() + 1, entry.size()));
  }
  return {};
}

}  // namespace

std::unique_ptr<SystemJournal> SystemJournal::of_standard_error() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat state {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &state) != 0) return nullptr;
  // Whoever sent standard error elsewhere left the variable as it was.
  if (fmt::format("{}:{}", state.st_dev, state.st_ino) != stream) return nullptr;
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  return socket < 0 ? nullptr : std::unique_ptr<SystemJournal>(new SystemJournal(socket));
}

bool SystemJournal::send(std::string_view entry) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path, sizeof socket_path);
  for (;;) {
    const auto sent = ::sendto(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL,
                               reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (sent >= 0) return true;
    if (errno != EINTR) return false;
  }
}

std::string SystemJournal::as_line(std::string_view entry) {
  return fmt::format("<{}>{}\n", part(entry, "PRIORITY"), part(entry, "MESSAGE"));
}

}  // namespace postern::app
