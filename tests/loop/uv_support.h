// For the tests of daemon/uv: turning a loop until something has happened, and a socket's owner that writes down what
// it is told.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "tests/support/catch.h"

namespace postern::uv::test {

/// Turns the loop until `done`; false when that has not come within a time that only a hang exceeds.
inline bool turn_until(Loop& loop, const std::function<bool()>& done) {
  const Instant limit = monotonic_now() + std::chrono::seconds(30);
  // UV_RUN_ONCE runs timers first and then waits: without the tick, a `done` that a timer has made true is seen late.
  Timer tick(loop, [] {});
  while (!done() && monotonic_now() < limit) {
    tick.start_at(monotonic_now() + std::chrono::milliseconds(50));
    uv_run(loop.get(), UV_RUN_ONCE);
  }
  return done();
}

/// As long as the loop has something to do that it knows of already.
inline void turn_once(Loop& loop) {
  bool turned = false;
  loop.post([&turned] { turned = true; });
  REQUIRE(turn_until(loop, [&turned] { return turned; }));
}

struct Peer final : SocketHandler {
  std::unique_ptr<Socket> socket;
  std::string received;
  std::vector<std::string> told;  ///< callbacks in order, repeated "bytes" once
  std::string failure;
  std::function<void()> when_bytes = [] {};
  std::function<void()> when_drained = [] {};
  std::function<void()> when_end = [this] { socket->close(); };

  void on_connected() override { told.emplace_back("connected"); }
  void on_bytes(std::string_view bytes) override {
    received += bytes;
    if (told.empty() || told.back() != "bytes") told.emplace_back("bytes");
    when_bytes();
  }
  void on_drained() override {
    told.emplace_back("drained");
    when_drained();
  }
  void on_end() override {
    told.emplace_back("end");
    when_end();
  }
  void on_failure(const Error& error) override {
    told.emplace_back("failed");
    failure = error.text;
    socket->close();
  }
  void on_closed() override { told.emplace_back("closed"); }

  bool closed() const { return !told.empty() && told.back() == "closed"; }
};

/// Accepts and reads, and keeps the peers.
struct Server {
  Server(Loop& on, Bound bound)
      : loop(on),
        acceptor(
            on, bound, [this](int descriptor) { add(descriptor); },
            [this](const Error& error) { troubles.push_back(error.text); }) {}

  ~Server() {
    acceptor.close();
    for (auto& peer : peers) peer->socket->close();
    CHECK(turn_until(loop, [this] {
      return std::all_of(peers.begin(), peers.end(), [](const auto& peer) { return peer->closed(); });
    }));
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void add(int descriptor) {
    auto& peer = *peers.emplace_back(std::make_unique<Peer>());
    prepare(peer);
    peer.socket = Socket::adopt(loop, descriptor, peer);
    peer.socket->start_reading();
  }

  Loop& loop;
  std::function<void(Peer&)> prepare = [](Peer&) {};
  std::vector<std::unique_ptr<Peer>> peers;
  std::vector<std::string> troubles;
  Acceptor acceptor;
};

inline Bound bound_on_loopback(const std::string& text = "127.0.0.1:0") {
  auto bound = bind_tcp(Endpoint::parse(text).value());
  REQUIRE(bound);
  return *bound;
}

}  // namespace postern::uv::test
