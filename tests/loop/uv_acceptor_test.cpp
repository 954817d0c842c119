#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "daemon/uv/sockaddr.h"
#include "daemon/uv/socket.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;

namespace {

/// A blocking client, which needs no loop.
int connect_blocking(const Endpoint& to) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const KernelAddress address = to_kernel(to);
  REQUIRE(::connect(descriptor, address.get(), address.length) == 0);
  return descriptor;
}

/// While it lives the process can open no descriptor.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
    ::close(lowest_free);
    rlimit lowered = before_;
    lowered.rlim_cur = static_cast<rlim_t>(lowest_free);
    ::setrlimit(RLIMIT_NOFILE, &lowered);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("every waiting connection is accepted, more than one turn takes too") {
  Loop loop;
  int accepted = 0;
  Acceptor acceptor(
      loop, bound_on_loopback(),
      [&](int descriptor) {
        ++accepted;
        ::close(descriptor);
      },
      [](const Error& error) { FAIL_CHECK(error.text); });
  std::vector<int> clients;
  for (int n = 0; n < 150; ++n) clients.push_back(connect_blocking(acceptor.endpoint()));
  CHECK(turn_until(loop, [&] { return accepted == 150; }));
  for (const int client : clients) ::close(client);
}

TEST_CASE("a short want of descriptors loses no connection") {
  Loop loop;
  Server server(loop, bound_on_loopback());
  const int client = connect_blocking(server.acceptor.endpoint());
  {
    const NoDescriptors none;
    CHECK(turn_until(loop, [&] { return !server.troubles.empty(); }));
  }
  CHECK(server.peers.empty());
  CHECK(server.troubles[0] == server.acceptor.endpoint().text() +
                                  ": connections cannot be accepted: Too many open files (raise LimitNOFILE, or lower "
                                  "limits.connections)");
  CHECK(turn_until(loop, [&] { return server.peers.size() == 1; }));
  ::close(client);
  CHECK(turn_until(loop, [&] { return server.peers[0]->closed(); }));
}

TEST_CASE("while descriptors are wanting, who waits is turned away, told of once, without spinning") {
  Loop loop;
  Server server(loop, bound_on_loopback());
  const int first = connect_blocking(server.acceptor.endpoint());
  const int second = connect_blocking(server.acceptor.endpoint());
  char octet = 0;
  const auto turned_away = [&octet](int client) {
    const ssize_t count = ::recv(client, &octet, 1, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno == ECONNRESET);
  };
  int turns = 0;
  {
    const NoDescriptors none;
    CHECK(turn_until(loop, [&] {
      ++turns;
      return turned_away(first) && turned_away(second);
    }));
  }
  CHECK(turns < 20);
  CHECK(server.troubles.size() == 1);
  CHECK(server.peers.empty());
  ::close(first);
  ::close(second);

  const int third = connect_blocking(server.acceptor.endpoint());
  CHECK(turn_until(loop, [&] { return server.peers.size() == 1; }));
  ::close(third);
  CHECK(turn_until(loop, [&] { return server.peers[0]->closed(); }));
}

TEST_CASE("an acceptor may be closed and destroyed by what it calls, and accepts nothing after that") {
  Loop loop;
  int accepted = 0;
  std::unique_ptr<Acceptor> acceptor;
  acceptor = std::make_unique<Acceptor>(
      loop, bound_on_loopback(),
      [&](int descriptor) {
        ++accepted;
        ::close(descriptor);
        acceptor->close();
        acceptor.reset();
      },
      [](const Error&) {});
  const int first = connect_blocking(acceptor->endpoint());
  const int second = connect_blocking(acceptor->endpoint());
  loop.run();
  CHECK(accepted == 1);
  ::close(first);
  ::close(second);
}
