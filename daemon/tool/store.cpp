#include "daemon/tool/store.h"

#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <csignal>
#include <cstring>
#include <memory>

#include "base/text.h"
#include "daemon/session/store.h"
#include "daemon/tool/output.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/signals.h"
#include "daemon/uv/socket.h"

namespace postern::tool {
namespace {

constexpr std::string_view unix_prefix = "unix:";
constexpr unsigned socket_mode = 0660;
constexpr Duration grace = std::chrono::seconds(10);

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "localhost";
}

Result<std::vector<Network>> networks(const std::vector<std::string>& texts) {
  std::vector<Network> parsed;
  for (const auto& text : texts) {
    const auto network = Network::parse(text);
    if (!network) return fail("--allow {}: expected a network such as 10.1.0.0/16 or 2001:db8::/32", text);
    parsed.push_back(*network);
  }
  return parsed;
}

/// Where to listen, with nothing opened yet: mistakes of the command line are found here.
struct Places {
  std::vector<std::string> paths;
  std::vector<Endpoint> endpoints;
};

Result<Places> places(const StoreArguments& arguments) {
  Places found;
  for (const auto& text : arguments.listen) {
    if (text.starts_with(unix_prefix)) {
      found.paths.push_back(text.substr(unix_prefix.size()));
      continue;
    }
    const auto endpoints = listening_endpoints(text);
    if (!endpoints) return fail("--listen {}: {}", text, endpoints.error().text);
    for (const auto& endpoint : *endpoints) {
      if (!endpoint.address.is_loopback() && arguments.allow.empty()) {
        return fail(
            "--listen {}: this store takes mail from whoever can reach it: beyond loopback, say who may with "
            "--allow NETWORK",
            text);
      }
      found.endpoints.push_back(endpoint);
    }
  }
  return found;
}

Result<std::vector<uv::Bound>> bind_all(const Places& places) {
  std::vector<uv::Bound> sockets;
  for (const auto& path : places.paths) {
    auto bound = uv::bind_unix(path, socket_mode);
    if (!bound) return fail_with(bound.error());
    print(fmt::format("listening on unix:{}", path));
    sockets.push_back(std::move(*bound));
  }
  for (const auto& endpoint : places.endpoints) {
    auto bound = uv::bind_tcp(endpoint);
    if (!bound) return fail_with(bound.error());
    print(fmt::format("listening on {}", bound->endpoint.text()));
    sockets.push_back(std::move(*bound));
  }
  return sockets;
}

int failed(const Error& error, int code) {
  complain(error.text);
  return code;
}

}  // namespace

Result<std::vector<Endpoint>> listening_endpoints(const std::string& text) {
  if (const auto literal = Endpoint::parse(text)) return std::vector{*literal};
  const auto colon = text.rfind(':');
  const auto port = colon == std::string::npos ? std::nullopt : parse_decimal(std::string_view(text).substr(colon + 1));
  if (!port || *port > 65535 || colon == 0) {
    return fail("expected unix:PATH, HOST:PORT or [IPv6]:PORT, such as 127.0.0.1:2424");
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* answers = nullptr;
  const std::string host = text.substr(0, colon);
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &answers); error != 0) {
    return fail("{}: {}", host, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(answers, &::freeaddrinfo);
  std::vector<Endpoint> endpoints;
  for (const addrinfo* answer = answers; answer != nullptr; answer = answer->ai_next) {
    Endpoint endpoint{.address = {}, .port = static_cast<std::uint16_t>(*port)};
    if (answer->ai_family == AF_INET) {
      std::array<std::uint8_t, 4> octets{};
      std::memcpy(octets.data(), &reinterpret_cast<const sockaddr_in*>(answer->ai_addr)->sin_addr, octets.size());
      endpoint.address = IpAddress::from_v4(octets);
    } else if (answer->ai_family == AF_INET6) {
      std::array<std::uint8_t, 16> octets{};
      std::memcpy(octets.data(), &reinterpret_cast<const sockaddr_in6*>(answer->ai_addr)->sin6_addr, octets.size());
      endpoint.address = IpAddress::from_v6(octets);
    } else {
      continue;
    }
    if (std::find(endpoints.begin(), endpoints.end(), endpoint) == endpoints.end()) endpoints.push_back(endpoint);
  }
  return endpoints;
}

int store(const StoreArguments& arguments) {
  auto allowed = networks(arguments.allow);
  if (!allowed) return failed(allowed.error(), exit_usage);
  const auto where = places(arguments);
  if (!where) return failed(where.error(), exit_usage);

  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file over the size limit is an error of write(), which answers 452

  uv::Loop loop;
  auto sockets = bind_all(*where);
  if (!sockets) return failed(sockets.error(), exit_failure);
  auto store = session::Store::start(loop, std::move(*sockets),
                                     {.directory = arguments.maildir,
                                      .hostname = host_name(),
                                      .allowed = std::move(*allowed),
                                      .log = [](std::string_view line) { print(line); }});
  if (!store) return failed(store.error(), exit_failure);

  bool stopping = false;
  const auto stop = [&] {
    if (!stopping) (*store)->shut_down(grace, [&loop] { loop.stop(); });
    stopping = true;  // a second signal changes nothing
  };
  const uv::Signal on_term(loop, SIGTERM, stop);
  const uv::Signal on_interrupt(loop, SIGINT, stop);
  loop.run();
  for (const auto& path : where->paths) ::unlink(path.c_str());
  return exit_ok;
}

}  // namespace postern::tool
