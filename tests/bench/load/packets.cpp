// The floor under a session: its packets without their meaning. Both ends know the lengths, so each counts octets.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <unordered_map>
#include <vector>

#include "daemon/uv/loop.h"
#include "daemon/uv/sockaddr.h"
#include "daemon/uv/socket.h"
#include "tests/bench/load/runs.h"

namespace postern::bench {

namespace {

// Greeting; EHLO; STARTTLS; ClientHello; Finished and EHLO; QUIT. In TLS 1.3 with one P-256 leaf and one intermediate.
constexpr std::array<std::size_t, 5> asked{17, 10, 250, 120, 30};
constexpr std::array<std::size_t, 6> answered{40, 200, 30, 1500, 500, 60};

const std::string octets(2048, 'x');

/// One end's place in the exchange.
struct Place {
  std::size_t step = 0;
  std::size_t seen = 0;  ///< octets of this step
};

class PacketClient final : public uv::SocketHandler {
 public:
  PacketClient(uv::Loop& loop, const Endpoint& to, std::function<void()> on_gone)
      : on_gone_(std::move(on_gone)), socket_(uv::Socket::connect(loop, to, *this)) {
    socket_->start_reading();
  }

 private:
  void on_bytes(std::string_view bytes) override {
    place_.seen += bytes.size();
    if (place_.seen < answered[place_.step]) return;
    place_.seen = 0;
    if (place_.step < asked.size()) socket_->send(octets.substr(0, asked[place_.step]));
    ++place_.step;
  }
  void on_end() override { socket_->close(); }
  void on_failure(const Error& error) override {
    fmt::print(stderr, "{}\n", error.text);
    socket_->close();
  }
  void on_closed() override {
    const auto gone = std::move(on_gone_);
    delete this;
    gone();
  }

  Place place_;
  std::function<void()> on_gone_;
  std::unique_ptr<uv::Socket> socket_;
};

class NullResponder {
 public:
  explicit NullResponder(int listener) : listener_(listener), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    watch(listener_);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events{};
    for (;;) {
      const int count = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
      for (int n = 0; n < count; ++n) {
        const int descriptor = events[static_cast<std::size_t>(n)].data.fd;
        if (descriptor == listener_) {
          accept_all();
        } else {
          respond(descriptor);
        }
      }
    }
  }

 private:
  void watch(int descriptor) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = descriptor;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event);
  }

  void say(int descriptor, std::size_t step) {
    if (::send(descriptor, octets.data(), answered[step], MSG_NOSIGNAL) < 0) places_[static_cast<std::size_t>(descriptor)] = {};
  }

  void accept_all() {
    for (int made; (made = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
      const auto index = static_cast<std::size_t>(made);
      if (places_.size() <= index) places_.resize(index + 1);
      places_[index] = {};
      watch(made);
      say(made, 0);
    }
  }

  void respond(int descriptor) {
    Place& place = places_[static_cast<std::size_t>(descriptor)];
    const ssize_t count = ::recv(descriptor, buffer_.data(), buffer_.size(), 0);
    if (count <= 0) {
      ::close(descriptor);
      return;
    }
    place.seen += static_cast<std::size_t>(count);
    if (place.step == asked.size() || place.seen < asked[place.step]) return;
    place.seen = 0;
    say(descriptor, ++place.step);
    if (place.step == asked.size()) ::close(descriptor);
  }

  int listener_;
  int epoll_;
  std::vector<Place> places_;  // by descriptor
  std::array<char, 65536> buffer_{};
};

}  // namespace

int run_packets(const Endpoint& to, std::size_t count, std::size_t concurrency) {
  uv::Loop loop;
  std::size_t begun = 0;
  std::function<void()> next = [&] {
    if (begun == count) return;
    ++begun;
    new PacketClient(loop, to, next);
  };
  const Instant begin = uv::monotonic_now();
  for (std::size_t n = 0; n < std::min(count, concurrency); ++n) next();
  loop.run();
  const auto took = std::chrono::duration<double>(uv::monotonic_now() - begin).count();
  fmt::print("{{\"count\": {}, \"failures\": 0, \"seconds\": {:.6f}}}\n", begun, took);
  return 0;
}

int run_null_responder(const Endpoint& at) {
  const auto bound = uv::bind_tcp(at);
  if (!bound) {
    fmt::print(stderr, "{}\n", bound.error().text);
    return 2;
  }
  fmt::print("listening on {}\n", bound->endpoint.text());
  std::fflush(stdout);
  NullResponder(bound->descriptor).run();
}

}  // namespace postern::bench
