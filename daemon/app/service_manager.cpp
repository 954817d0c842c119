#include "daemon/app/service_manager.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "daemon/uv/sockaddr.h"

namespace postern::app {

namespace {

constexpr int first_passed_descriptor = 3;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::optional<std::uint64_t> number_in(const char* name) { return parse_decimal(variable(name)); }

bool meant_for_us(const char* pid_variable) {
  const auto pid = number_in(pid_variable);
  return !pid || *pid == static_cast<std::uint64_t>(::getpid());
}

int option(int descriptor, int which) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(descriptor, SOL_SOCKET, which, &value, &length) == 0 ? value : -1;
}

std::string unix_path_of(int descriptor) {
  sockaddr_un address{};
  socklen_t length = sizeof address;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &length) != 0) return {};
  return address.sun_path;
}

}  // namespace

ServiceManager::ServiceManager() : socket_(variable("NOTIFY_SOCKET")) {
  const auto microseconds = number_in("WATCHDOG_USEC");
  if (microseconds && *microseconds > 0 && meant_for_us("WATCHDOG_PID")) {
    watchdog_ = std::chrono::microseconds(*microseconds);
  }
}

void ServiceManager::tell(std::string_view state) const {
  sockaddr_un address{};
  if (socket_.empty() || socket_.size() >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  (void)::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
  ::close(descriptor);
}

InheritedSocket inherited_socket(int descriptor) {
  InheritedSocket socket;
  socket.descriptor = descriptor;
  ::fcntl(descriptor, F_SETFD, FD_CLOEXEC);
  if (option(descriptor, SO_TYPE) != SOCK_STREAM || option(descriptor, SO_ACCEPTCONN) != 1) return socket;
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
  if (option(descriptor, SO_DOMAIN) == AF_UNIX) {
    socket.path = unix_path_of(descriptor);
  } else {
    socket.endpoint = uv::from_kernel(uv::local_address(descriptor).get());
    uv::set_connection_options(descriptor);
  }
  return socket;
}

Result<std::vector<InheritedSocket>> take_inherited_sockets() {
  const auto count = number_in("LISTEN_FDS");
  std::vector<InheritedSocket> sockets;
  if (!count || *count > 10'000 || !number_in("LISTEN_PID") || !meant_for_us("LISTEN_PID")) return sockets;
  const std::string names_text = variable("LISTEN_FDNAMES");
  const auto names = split(names_text, ':');
  for (std::size_t i = 0; i < *count; ++i) {
    InheritedSocket socket = inherited_socket(first_passed_descriptor + static_cast<int>(i));
    if (i < names.size()) socket.name = names[i];
    if (socket.path.empty() && socket.endpoint == Endpoint{}) {
      return fail("the socket \"{}\" that was passed to posternd is no listening stream socket: ListenStream= is what it "
                  "takes",
                  escaped(socket.name, 80));
    }
    sockets.push_back(std::move(socket));
  }
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return sockets;
}

}  // namespace postern::app
