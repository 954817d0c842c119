#include "daemon/uv/socket.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "tests/loop/uv_folder.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;
using namespace std::chrono_literals;

namespace {

using Told = std::vector<std::string>;

/// As every process that uses sockets on libuv must.
[[maybe_unused]] const auto previous_handler = std::signal(SIGPIPE, SIG_IGN);

/// A server and one client, connected.
struct Pair {
  explicit Pair(const std::string& where = "127.0.0.1:0") : server(loop, bound_on_loopback(where)) {
    client.socket = Socket::connect(loop, server.acceptor.endpoint(), client);
    client.socket->start_reading();
    REQUIRE(turn_until(loop, [this] { return !server.peers.empty() && !client.told.empty(); }));
    server.acceptor.close();
  }
  ~Pair() {
    client.socket->close();
    here().socket->close();
    CHECK(turn_until(loop, [this] { return client.closed() && here().closed(); }));
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  Peer& here() { return *server.peers.front(); }
  bool until(const std::function<bool()>& done) { return turn_until(loop, done); }

  Loop loop;
  Peer client;
  Server server;
};

/// Incompressible enough that a lost, doubled or moved octet shows.
std::string pattern(std::size_t octets) {
  std::string made(octets, '\0');
  for (std::size_t n = 0; n < octets; ++n) made[n] = static_cast<char>((n * 2654435761u) >> 13);
  return made;
}

/// Two connected unix descriptors.
std::pair<int, int> socket_pair() {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  return {pair[0], pair[1]};
}

/// Reads a blocking descriptor to its end.
std::string read_all(int descriptor) {
  std::string all;
  char buffer[4096];
  for (ssize_t count; (count = ::read(descriptor, buffer, sizeof buffer)) > 0;) {
    all.append(buffer, static_cast<std::size_t>(count));
  }
  return all;
}

}  // namespace

TEST_CASE("an owner can bound what one read brings") {
  Pair pair;
  std::size_t largest = 0;
  std::size_t seen = 0;
  pair.here().when_bytes = [&] {
    largest = std::max(largest, pair.here().received.size() - seen);
    seen = pair.here().received.size();
  };
  pair.here().socket->read_at_most(1000);
  const std::string sent = pattern(50'000);
  pair.client.socket->send(sent);
  REQUIRE(pair.until([&] { return pair.here().received.size() == sent.size(); }));
  CHECK(pair.here().received == sent);
  CHECK(largest == 1000);
}

TEST_CASE("an echo over TCP, on IPv4 and IPv6, with the addresses of both ends") {
  for (const std::string where : {"127.0.0.1:0", "[::1]:0"}) {
    Pair pair(where);
    pair.here().when_bytes = [&] { pair.here().socket->send(std::exchange(pair.here().received, {})); };
    pair.client.socket->send("EHLO ");
    pair.client.socket->send("a.test\r\n");
    CHECK(pair.until([&] { return pair.client.received.size() == 13; }));
    CHECK(pair.client.received == "EHLO a.test\r\n");
    CHECK(pair.client.told == Told{"connected", "bytes"});
    CHECK(pair.client.socket->unsent() == 0);
    CHECK(pair.client.socket->peer() == pair.server.acceptor.endpoint());
    CHECK(pair.client.socket->local() == pair.here().socket->peer());
    CHECK(pair.here().socket->local() == pair.server.acceptor.endpoint());
  }
}

TEST_CASE("an echo over a unix socket") {
  const Folder folder;
  const std::string path = folder / "lmtp";
  Loop loop;
  const auto bound = bind_unix(path, 0600);
  REQUIRE(bound);
  Server server(loop, *bound);
  server.prepare = [](Peer& peer) { peer.when_bytes = [&peer] { peer.socket->send(std::exchange(peer.received, {})); }; };
  Peer client;
  client.socket = Socket::connect_unix(loop, path, client);
  client.socket->send("LHLO a.test\r\n");  // waits for the connection
  client.socket->start_reading();
  CHECK(turn_until(loop, [&] { return client.received == "LHLO a.test\r\n"; }));
  CHECK(client.told == Told{"connected", "drained", "bytes"});
  CHECK(client.socket->peer() == Endpoint{});
  client.socket->close();
  CHECK(turn_until(loop, [&] { return client.closed() && server.peers.front()->closed(); }));
  CHECK(server.peers.front()->told == Told{"bytes", "end", "closed"});
}

TEST_CASE("accepted and connecting TCP sockets have the options that replies and dead peers need") {
  Loop loop;
  int accepted = -1;
  Acceptor acceptor(
      loop, bound_on_loopback(), [&](int descriptor) { accepted = descriptor; }, [](const Error&) {});
  Peer client;
  client.socket = Socket::connect(loop, acceptor.endpoint(), client);
  CHECK(turn_until(loop, [&] { return accepted >= 0; }));
  const auto option = [&](int level, int name) {
    int value = 0;
    socklen_t length = sizeof value;
    CHECK(::getsockopt(accepted, level, name, &value, &length) == 0);
    return value;
  };
  CHECK(option(IPPROTO_TCP, TCP_NODELAY) != 0);
  CHECK(option(SOL_SOCKET, SO_KEEPALIVE) != 0);
  CHECK((::fcntl(accepted, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(accepted, F_GETFD) & FD_CLOEXEC) != 0);
  ::close(accepted);
  client.socket->close();
  CHECK(turn_until(loop, [&] { return client.closed(); }));
}

TEST_CASE("after the peer's FIN the other direction still works") {
  Pair pair;
  pair.here().when_end = [&] {
    pair.here().socket->send("still here");
    pair.here().socket->finish();
    pair.here().socket->send("not any more");
  };
  pair.client.socket->send("last words");
  pair.client.socket->finish();
  CHECK(pair.until([&] { return pair.client.closed(); }));
  CHECK(pair.here().received == "last words");
  CHECK(pair.here().told == Told{"bytes", "end"});
  CHECK(pair.client.received == "still here");
  CHECK(pair.client.told == Told{"connected", "bytes", "end", "closed"});
}

TEST_CASE("more than the kernel takes waits, goes out in order, and is followed by the FIN") {
  Pair pair;
  const std::string big = pattern(32 << 20);
  pair.here().socket->stop_reading();
  for (std::size_t at = 0; at < big.size(); at += 300'000) pair.client.socket->send(big.substr(at, 300'000));
  CHECK(pair.client.socket->unsent() > 0);
  CHECK(pair.client.socket->unsent() < big.size());
  pair.client.socket->finish();
  pair.here().when_end = [] {};
  pair.here().socket->start_reading();
  CHECK(pair.until([&] { return !pair.here().told.empty() && pair.here().told.back() == "end"; }));
  CHECK(pair.here().received == big);
  CHECK(pair.client.told == Told{"connected", "drained"});
  CHECK(pair.client.socket->unsent() == 0);
}

TEST_CASE("a reader that stops is sent no more than the kernel holds, and loses nothing") {
  Pair pair;
  const std::string big = pattern(32 << 20);
  int stops = 0;
  pair.here().when_bytes = [&] {
    ++stops;
    pair.here().socket->stop_reading();
    pair.loop.post([&] { pair.here().socket->start_reading(); });
  };
  pair.client.socket->send(big);
  CHECK(pair.until([&] { return pair.here().received.size() == big.size(); }));
  CHECK(pair.here().received == big);
  CHECK(stops >= static_cast<int>(big.size() >> 16));  // one buffer a time
}

TEST_CASE("what comes while nobody reads is read later, and the end behind it") {
  Pair pair;
  Peer& here = pair.here();
  // As long as the loop has to see that something has come, and to leave it alone.
  const auto turns = [&pair] {
    for (int n = 0; n < 5; ++n) turn_once(pair.loop);
  };
  std::string sent;
  for (const std::string piece : {"one", "two", "three"}) {
    here.socket->stop_reading();
    here.socket->start_reading();
    here.socket->stop_reading();
    pair.client.socket->send(piece);
    turns();
    CHECK(here.received == sent);
    sent += piece;
    here.socket->start_reading();
    CHECK(pair.until([&] { return here.received == sent; }));
  }
  here.socket->stop_reading();
  pair.client.socket->finish();
  turns();
  CHECK(here.told == Told{"bytes"});
  here.when_end = [] {};
  here.socket->start_reading();
  CHECK(pair.until([&] { return here.told.back() == "end"; }));
}

TEST_CASE("who stops at the last octets is told of the end when it reads again") {
  Loop loop;
  const auto [mine, theirs] = socket_pair();
  Peer peer;
  peer.when_bytes = [&peer] { peer.socket->stop_reading(); };
  peer.when_end = [] {};
  REQUIRE(::write(theirs, "bye", 3) == 3);
  ::close(theirs);
  peer.socket = Socket::adopt(loop, mine, peer);
  peer.socket->start_reading();
  CHECK(turn_until(loop, [&] { return peer.received == "bye"; }));
  turn_once(loop);
  CHECK(peer.told == Told{"bytes"});
  peer.socket->start_reading();
  CHECK(turn_until(loop, [&] { return peer.told == Told{"bytes", "end"}; }));
  peer.socket->close();
  CHECK(turn_until(loop, [&] { return peer.closed(); }));
}

TEST_CASE("a reset is a failure, not an end, and says so") {
  Pair pair;
  pair.client.socket->reset();
  CHECK(pair.until([&] { return pair.here().closed() && pair.client.closed(); }));
  CHECK(pair.client.told == Told{"connected", "closed"});
  CHECK(pair.here().told == Told{"failed", "closed"});
  CHECK(pair.here().failure == "connection reset by peer");
}

TEST_CASE("what the peer's host has is acknowledged, and nothing is once it has reset the connection") {
  Pair pair;
  CHECK(pair.here().socket->acknowledged());
  pair.here().socket->send("a reply");
  CHECK(pair.until([&] { return pair.client.received == "a reply" && pair.here().socket->acknowledged(); }));
  pair.client.socket->reset();
  CHECK(pair.until([&] { return !pair.here().socket->acknowledged(); }));
}

TEST_CASE("a refused connection fails, after the call") {
  Loop loop;
  Endpoint nobody;
  {
    Acceptor gone(
        loop, bound_on_loopback(), [](int) {}, [](const Error&) {});
    nobody = gone.endpoint();
  }
  Peer client;
  client.socket = Socket::connect(loop, nobody, client);
  client.socket->start_reading();
  client.socket->send("EHLO a.test\r\n");
  CHECK(client.told.empty());
  CHECK(turn_until(loop, [&] { return client.closed(); }));
  CHECK(client.told == Told{"failed", "closed"});
  CHECK(client.failure == "connection refused");
}

TEST_CASE("unix targets that cannot be reached fail, after the call") {
  Loop loop;
  const std::string too_long = "/tmp/" + std::string(200, 'x');
  for (const std::string& path : {std::string("/nonexistent/lmtp"), too_long}) {
    Peer client;
    client.socket = Socket::connect_unix(loop, path, client);
    CHECK(client.told.empty());
    CHECK(turn_until(loop, [&] { return client.closed(); }));
    CHECK(client.told == Told{"failed", "closed"});
    CHECK(client.failure == (path == too_long ? "name too long" : "no such file or directory"));
  }
}

TEST_CASE("a write to a peer that is gone fails after the call, and its last words are read first") {
  Loop loop;
  const auto [mine, theirs] = socket_pair();
  CHECK(::write(theirs, "421 bye\r\n", 9) == 9);
  ::close(theirs);
  Peer peer;
  peer.socket = Socket::adopt(loop, mine, peer);
  peer.socket->start_reading();
  peer.socket->send("RSET\r\n");
  CHECK(peer.told.empty());
  CHECK(turn_until(loop, [&] { return peer.closed(); }));
  CHECK(peer.received == "421 bye\r\n");
  CHECK(peer.told == Told{"bytes", "failed", "closed"});
}

TEST_CASE("close is idempotent, tells once and last, and never within the call") {
  Pair pair;
  pair.client.socket->send(pattern(32 << 20));  // a write is in flight
  pair.client.socket->send("and more");
  pair.client.socket->close();
  pair.client.socket->close();
  pair.client.socket->send("too late");
  pair.client.socket->finish();
  pair.client.socket->close_when_sent(1s);
  CHECK(pair.client.told == Told{"connected"});
  CHECK(pair.until([&] { return pair.client.closed() && pair.here().closed(); }));
  pair.client.socket->close();
  pair.client.socket->reset();
  CHECK(pair.client.told == Told{"connected", "closed"});
}

TEST_CASE("a close while connecting ends without any other callback") {
  Loop loop;
  Server server(loop, bound_on_loopback());
  Peer client;
  client.socket = Socket::connect(loop, server.acceptor.endpoint(), client);
  client.socket->close();
  CHECK(turn_until(loop, [&] { return client.closed(); }));
  CHECK(client.told == Told{"closed"});
}

TEST_CASE("close_when_sent sends everything first") {
  Pair pair;
  const std::string big = pattern(32 << 20);
  pair.client.socket->send(big);
  REQUIRE(pair.client.socket->unsent() > 0);
  pair.client.socket->close_when_sent(1h);
  CHECK(pair.until([&] { return pair.client.closed() && pair.here().closed(); }));
  CHECK(pair.here().received == big);
  CHECK(pair.client.told == Told{"connected", "closed"});
}

TEST_CASE("close_when_sent before the connection stands sends what waits") {
  Loop loop;
  Server server(loop, bound_on_loopback());
  Peer client;
  client.socket = Socket::connect(loop, server.acceptor.endpoint(), client);
  client.socket->send("QUIT\r\n");
  client.socket->close_when_sent(1h);
  CHECK(turn_until(loop, [&] { return client.closed() && !server.peers.empty() && server.peers[0]->closed(); }));
  CHECK(server.peers[0]->received == "QUIT\r\n");
  CHECK(client.told == Told{"closed"});
}

TEST_CASE("close_when_sent gives up when the peer takes nothing in time") {
  Loop loop;
  const auto [mine, theirs] = socket_pair();
  Peer peer;
  peer.socket = Socket::adopt(loop, mine, peer);
  peer.socket->send(pattern(32 << 20));
  peer.socket->close_when_sent(5ms);
  CHECK(turn_until(loop, [&] { return peer.closed(); }));
  CHECK(peer.told == Told{"closed"});
  ::close(theirs);
}

TEST_CASE("close_when_sent does not reset a peer that is still talking, so that it can read our last reply") {
  Pair pair;
  pair.here().socket->stop_reading();
  const std::string flood = pattern(200'000);  // a sender that pipelines without reading
  pair.client.socket->send(flood);
  REQUIRE(pair.until([&] { return pair.client.socket->unsent() == 0; }));
  pair.here().socket->send("421 4.7.0 too many errors\r\n");
  pair.here().socket->close_when_sent(1h);
  CHECK(pair.until([&] { return pair.client.closed() && pair.here().closed(); }));
  CHECK(pair.client.received == "421 4.7.0 too many errors\r\n");
  CHECK(pair.client.told == Told{"connected", "bytes", "end", "closed"});
  CHECK(pair.here().told == Told{"closed"});
  CHECK(pair.here().received.empty());
}

TEST_CASE("a socket may be closed in any of its callbacks") {
  for (const std::string where : {"bytes", "end", "drained"}) {
    Pair pair;
    Peer& here = pair.here();
    const auto close = [&here] { here.socket->close(); };
    here.when_bytes = [&, close] {
      if (where == "bytes") close();
      if (where == "drained" && here.told.size() == 1) here.socket->send(pattern(32 << 20));
    };
    if (where == "drained") here.when_drained = close;
    here.when_end = close;
    pair.client.socket->send("x");
    if (where != "drained") pair.client.socket->finish();
    pair.client.when_end = [] {};
    CHECK(pair.until([&] { return here.closed(); }));
    CHECK(std::count(here.told.begin(), here.told.end(), "closed") == 1);
    CHECK(here.told[here.told.size() - 2] == where);
  }
}

TEST_CASE("the owner may destroy the socket when it was told of its end") {
  struct Owner : SocketHandler {
    std::unique_ptr<Socket> socket;
    bool* gone = nullptr;
    ~Owner() override { *gone = true; }
    void on_bytes(std::string_view) override {}
    void on_end() override { socket->close(); }
    void on_failure(const Error&) override { socket->close(); }
    void on_closed() override { delete this; }
  };
  Loop loop;
  const auto [mine, theirs] = socket_pair();
  bool gone = false;
  auto* owner = new Owner;
  owner->gone = &gone;
  owner->socket = Socket::adopt(loop, mine, *owner);
  owner->socket->start_reading();
  owner->socket->send("220 ");
  owner->socket->send("hello\r\n");
  ::shutdown(theirs, SHUT_WR);
  CHECK(turn_until(loop, [&] { return gone; }));
  CHECK(read_all(theirs) == "220 hello\r\n");
  ::close(theirs);
}
