#include "daemon/session/control_client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <system_error>

#include "base/text.h"

namespace postern::session {
namespace {

using Clock = std::chrono::steady_clock;

std::string reason(int error) { return std::generic_category().message(error); }

std::string why_unreachable(int error) {
  switch (error) {
    case ENOENT:
      return "no such socket: is posternd running, and is this its `control` path?";
    case ECONNREFUSED:
      return "nobody is listening: posternd has ended without removing its socket";
    case EACCES:
      return "permission denied: run this as root, as the user of posternd, or as a member of the socket's group";
    default:
      return reason(error);
  }
}

/// One connection, with a deadline for everything on it.
class Line {
 public:
  Line(std::string path, Duration within)
      : path_(std::move(path)),
        within_(within),
        deadline_(Clock::now() + within),
        descriptor_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Line() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  Result<void> connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.empty() || path_.size() >= sizeof address.sun_path) {
      return fail("{}: the path of a unix socket must have 1 to {} octets", path_, sizeof address.sun_path - 1);
    }
    std::memcpy(address.sun_path, path_.data(), path_.size());
    if (descriptor_ < 0) return fail("{}: {}", path_, reason(errno));
    // On a unix socket this blocks only while the listener's queue is full.
    if (::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return fail("{}: {}", path_, why_unreachable(errno));
    }
    return {};
  }

  Result<void> send(std::string_view bytes) {
    while (!bytes.empty()) {
      if (auto ready = wait_for(POLLOUT); !ready) return ready;
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (sent < 0) return fail("{}: {}", path_, reason(errno));
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return {};
  }

  /// Without its LF.
  Result<std::string> receive_line() {
    std::string line;
    std::array<char, 64 * 1024> piece{};
    for (;;) {
      if (auto ready = wait_for(POLLIN); !ready) return fail_with(ready.error());
      const ssize_t count = ::recv(descriptor_, piece.data(), piece.size(), MSG_DONTWAIT);
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (count < 0) return fail("{}: {}", path_, reason(errno));
      if (count == 0) return fail("{}: posternd closed the connection without an answer", path_);
      const std::string_view got(piece.data(), static_cast<std::size_t>(count));
      line.append(got.substr(0, got.find('\n')));
      if (got.find('\n') != std::string_view::npos) return line;
      if (line.size() > control::reply_octets_max) return fail("{}: the answer has no end", path_);
    }
  }

 private:
  Result<void> wait_for(short event) {
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
      if (left <= 0) return fail("{}: posternd did not answer within {}", path_, readable(within_));
      pollfd waiting{.fd = descriptor_, .events = event, .revents = 0};
      const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return fail("{}: {}", path_, reason(errno));
    }
  }

  std::string path_;
  Duration within_;
  Clock::time_point deadline_;
  int descriptor_;
};

}  // namespace

Result<control::Reply> ask_control(const std::string& path, const control::Request& request, Duration within) {
  Line line(path, within);
  if (auto done = line.connect(); !done) return fail_with(done.error());
  if (auto done = line.send(control::to_json(request) + '\n'); !done) return fail_with(done.error());
  const auto answer = line.receive_line();
  if (!answer) return fail_with(answer.error());
  auto reply = control::parse_reply(*answer);
  if (!reply) return fail("{}: {}", path, reply.error().text);
  return reply;
}

}  // namespace postern::session
