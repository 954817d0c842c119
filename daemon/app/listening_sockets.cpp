#include "daemon/app/listening_sockets.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "base/text.h"

namespace postern::app {

namespace {

constexpr unsigned unix_socket_mode = 0660;

// Of sockets that a posternd has made.
constexpr const char* own_name = "posternd";

}  // namespace

uv::Bound ListeningSockets::keep(uv::Bound bound, std::string name) {
  all_.push_back({bound.descriptor, std::move(name)});
  return bound;
}

Result<void> ListeningSockets::take_passed(From from) {
  from_ = from;
  auto passed = take_inherited_sockets();
  if (!passed) return tl::unexpected(passed.error());
  unused_ = std::move(*passed);
  return {};
}

tl::expected<std::vector<std::vector<uv::Bound>>, std::vector<Error>> ListeningSockets::bind(
    const std::vector<Endpoint>& addresses, std::size_t workers) {
  auto bound = bind_listeners(addresses, workers, unused_);
  if (!bound) return bound;
  for (const auto& of_worker : *bound) {
    for (const uv::Bound& socket : of_worker) keep(socket, own_name);
  }
  return bound;
}

Result<uv::Bound> ListeningSockets::bind_path(const std::string& path) {
  for (auto socket = unused_.begin(); socket != unused_.end(); ++socket) {
    if (socket->path != path) continue;
    if (from_ == From::Predecessor && socket->name == own_name) own_paths_.push_back(path);
    const uv::Bound bound = keep({socket->descriptor, Endpoint{}}, socket->name);
    unused_.erase(socket);
    return bound;
  }
  auto bound = uv::bind_unix(path, unix_socket_mode);
  if (!bound) return bound;
  own_paths_.push_back(path);
  return keep(std::move(*bound), own_name);
}

Result<uv::Bound> ListeningSockets::bind_alone(const Endpoint& address) {
  for (auto socket = unused_.begin(); socket != unused_.end(); ++socket) {
    if (!socket->path.empty() || socket->endpoint != address) continue;
    const uv::Bound bound = keep({socket->descriptor, address}, own_name);
    unused_.erase(socket);
    return bound;
  }
  auto bound = uv::bind_tcp(address);
  if (!bound) return bound;
  return keep(std::move(*bound), own_name);
}

void ListeningSockets::drop_unused(session::Journal& journal) {
  for (const InheritedSocket& socket : unused_) {
    const std::string place = socket.path.empty() ? socket.endpoint.text() : socket.path;
    if (from_ == From::Predecessor) {
      journal.note(observe::Level::Info, place + ": no [[listen]] has this address any more");
      if (!socket.path.empty() && socket.name == own_name) ::unlink(socket.path.c_str());
    } else {
      journal.note(observe::Level::Warning,
                   fmt::format("the service manager passes a socket for {} ({}), but no [[listen]] has this address", place,
                               escaped(socket.name, 80)));
    }
    ::close(socket.descriptor);
  }
  unused_.clear();
}

void ListeningSockets::remove_paths() {
  for (const std::string& path : own_paths_) ::unlink(path.c_str());
  own_paths_.clear();
}

}  // namespace postern::app
