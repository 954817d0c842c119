#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "daemon/uv/sockaddr.h"
#include "daemon/uv/socket.h"
#include "tests/loop/uv_folder.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;

namespace {

Descriptor connected_to(const Endpoint& endpoint) {
  const KernelAddress address = to_kernel(endpoint);
  Descriptor made(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(made.get(), address.get(), address.length) == 0);
  return made;
}

}  // namespace

TEST_CASE("a port that is in use is said so") {
  const Bound first = bound_on_loopback();
  const auto second = bind_tcp(first.endpoint);
  REQUIRE_FALSE(second);
  CHECK(second.error().text ==
        first.endpoint.text() + ": address already in use: is another mail server or posternd running on it?");
  CHECK_FALSE(bind_tcp_shared(first.endpoint, 2));
  ::close(first.descriptor);
}

TEST_CASE("sockets share a port with each other and with nobody else") {
  const std::string loopback = GENERATE("127.0.0.1:0", "[::1]:0");
  const auto shared = bind_tcp_shared(Endpoint::parse(loopback).value(), 3);
  REQUIRE(shared);
  REQUIRE(shared->size() == 3);
  const Endpoint& endpoint = shared->front().endpoint;
  for (const Bound& bound : *shared) CHECK(bound.endpoint == endpoint);
  CHECK_FALSE(bind_tcp(endpoint));
  CHECK_FALSE(bind_tcp_shared(endpoint, 1));
  // Each of them gets connections.
  std::size_t reached = 0;
  std::vector<Descriptor> clients;
  while (reached < shared->size() && clients.size() < 1000) {
    clients.push_back(connected_to(endpoint));
    reached = static_cast<std::size_t>(std::count_if(shared->begin(), shared->end(), [](const Bound& bound) {
      pollfd waiting{bound.descriptor, POLLIN, 0};
      return ::poll(&waiting, 1, 0) == 1;
    }));
  }
  CHECK(reached == shared->size());
  for (const Bound& bound : *shared) ::close(bound.descriptor);
}

TEST_CASE("of two that take a port at the same time one at most gets it") {
  const Bound before = bound_on_loopback();
  ::close(before.descriptor);
  int taken = 0;
  for (int round = 0; round < 500; ++round) {
    std::atomic<int> ready{0};
    std::array<std::vector<Bound>, 2> held;
    std::vector<std::thread> threads;
    for (std::size_t me = 0; me < held.size(); ++me) {
      threads.emplace_back([&, me] {
        ++ready;
        while (ready < 2) std::this_thread::yield();
        if (auto bound = bind_tcp_shared(before.endpoint, 2)) held[me] = std::move(*bound);
      });
    }
    for (auto& thread : threads) thread.join();
    int winners = 0;
    for (const auto& sockets : held) {
      if (!sockets.empty()) ++winners;
      for (const Bound& bound : sockets) ::close(bound.descriptor);
    }
    REQUIRE(winners <= 1);
    taken += winners;
  }
  CHECK(taken > 0);
}

TEST_CASE("an address that this machine does not have is said so") {
  const auto bound = bind_tcp(Endpoint::parse("192.0.2.1:0").value());
  REQUIRE_FALSE(bound);
  CHECK(bound.error().text == "192.0.2.1:0: address not available: no network interface of this machine has it");
}

TEST_CASE("IPv4 and IPv6 listeners of one port do not get in each other's way") {
  const auto v6 = bind_tcp(Endpoint::parse("[::]:0").value());
  REQUIRE(v6);
  const auto v4 = bind_tcp(Endpoint{IpAddress(), v6->endpoint.port});
  CHECK(v4);
  ::close(v6->descriptor);
  if (v4) ::close(v4->descriptor);
}

TEST_CASE("a unix socket has its mode whatever the umask, and a stale file does not stand in its way") {
  const Folder folder;
  const std::string path = folder / "control";
  const mode_t before = ::umask(0);
  const auto first = bind_unix(path, 0660);
  ::umask(before);
  REQUIRE(first);
  struct stat status{};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0660);

  const auto second = bind_unix(path, 0660);
  REQUIRE_FALSE(second);
  CHECK(second.error().text == path + ": already in use: is another process listening on it?");

  ::close(first->descriptor);
  const auto third = bind_unix(path, 0600);
  REQUIRE(third);
  REQUIRE(::stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777) == 0600);
  ::close(third->descriptor);
}

TEST_CASE("what is no socket is not removed for one") {
  const Folder folder;
  const std::string path = folder / "precious";
  std::ofstream(path) << "mail";
  const auto bound = bind_unix(path, 0660);
  REQUIRE_FALSE(bound);
  CHECK(bound.error().text == path + ": exists and is no socket: remove it or choose another path");
  CHECK(std::filesystem::file_size(path) == 4);
}

TEST_CASE("unix paths that cannot be are refused with the reason") {
  const auto nowhere = bind_unix("/nonexistent/control", 0660);
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().text == "/nonexistent/control: its folder does not exist: make it, writable for the user that posternd runs as");
  const std::string too_long = "/tmp/" + std::string(200, 'x');
  const auto cut = bind_unix(too_long, 0660);
  REQUIRE_FALSE(cut);
  CHECK(cut.error().text == too_long + ": the path of a unix socket must have 1 to 107 octets");
}
