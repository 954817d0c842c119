// Socket on uv_tcp_t and uv_pipe_t. What an idle connection costs is one of these objects (below 400 octets): whatever
// only a busy one needs, a write request or a timer, is made when it is needed.
#include "daemon/uv/socket.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "daemon/uv/sockaddr.h"

namespace postern::uv {

namespace {

// Reads of a broken connection's last bytes, each as long as the loop's buffer.
constexpr int last_reads_max = 16;

class StreamSocket : public Socket {
 public:
  explicit StreamSocket(SocketHandler& handler) : handler_(handler) {}
  ~StreamSocket() override { assert(phase_ == Phase::Closed); }

  void start_reading() override;
  void stop_reading() override;
  void read_at_most(std::size_t octets) override { read_octets_ = std::min(octets, Loop::read_octets_max); }
  void send(std::string bytes) override;
  std::size_t unsent() const override;
  bool takes_more() const override;
  void finish() override;
  void close() override;
  void close_when_sent(Duration within) override;
  void reset() override;

 protected:
  /// Ends adopt(): `status` is what libuv said of the descriptor.
  void adopted(int descriptor, int status);
  /// The request of connect(), which ends in connected_callback.
  uv_connect_t* new_request() {
    request_ = std::make_unique<uv_connect_t>();
    return request_.get();
  }
  static void connected_callback(uv_connect_t* request, int status) {
    static_cast<StreamSocket*>(request->handle->data)->connected(status);
  }
  /// Fails at the next turn of the loop.
  void fail_later(int status);
  int descriptor() const;

  virtual void know_local_address() = 0;
  virtual uv_stream_t* stream() = 0;
  virtual const uv_stream_t* stream() const = 0;

 private:
  enum class Phase : std::uint8_t {
    Connecting,
    Open,
    Leaving,  ///< close_when_sent(): what comes in is thrown away
    Failed,
    Closing,
    Closed
  };

  struct Write {
    uv_write_t request{};
    std::string bytes;
  };

  void connected(int status);
  void read_some(ssize_t count, const uv_buf_t* buffer);
  void stop_watching();
  void read_last_bytes();
  void start_write(std::string bytes, std::size_t from);
  void written(int status);
  void all_sent();
  void leave();
  void fail(int status);
  void tell_failure();
  Timer& timer();
  void timer_expired();

  SocketHandler& handler_;
  std::unique_ptr<uv_connect_t> request_;
  std::string pending_;               // waits for the write in flight, or for the connection
  std::unique_ptr<Write> in_flight_;
  std::unique_ptr<Timer> timer_;      // of fail_later() and close_when_sent()
  std::size_t read_octets_ = Loop::read_octets_max;
  int failure_ = 0;
  Phase phase_ = Phase::Connecting;
  bool reading_ = false;              // wanted by the owner
  bool watched_ = false;              // libuv looks for input
  bool ended_ = false;                // the peer's FIN was seen
  bool finishing_ = false;
  bool talked_while_leaving_ = false;
};

uv_buf_t buffer_of(std::string& bytes, std::size_t from) {
  uv_buf_t made{};
  made.base = bytes.data() + from;
  made.len = bytes.size() - from;
  return made;
}

int StreamSocket::descriptor() const {
  uv_os_fd_t number = -1;
  uv_fileno(reinterpret_cast<const uv_handle_t*>(stream()), &number);
  return number;
}

// --- opening ---

void StreamSocket::adopted(int descriptor, int status) {
  if (status == 0) {
    phase_ = Phase::Open;
    return;
  }
  ::close(descriptor);
  fail_later(status);
}

void StreamSocket::connected(int status) {
  request_.reset();
  if (phase_ == Phase::Closing) return;  // the close callback follows
  if (status < 0) return fail(status);
  know_local_address();
  const bool leaving = phase_ == Phase::Leaving;
  if (!leaving) phase_ = Phase::Open;
  if (reading_ || leaving) start_reading();
  if (!pending_.empty()) {
    start_write(std::exchange(pending_, {}), 0);
  } else if (finishing_) {
    ::shutdown(descriptor(), SHUT_WR);
  }
  if (!leaving) handler_.on_connected();
}

// --- reading ---

void StreamSocket::start_reading() {
  reading_ = true;
  if ((phase_ != Phase::Open && phase_ != Phase::Leaving) || ended_ || watched_) return;
  watched_ = true;
  uv_read_start(
      stream(),
      [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
        const auto* socket = static_cast<StreamSocket*>(handle->data);
        *buffer = Loop::of(handle->loop).read_buffer();
        buffer->len = socket->reading_ ? socket->read_octets_ : 0;
      },
      [](uv_stream_t* from, ssize_t count, const uv_buf_t* buffer) {
        static_cast<StreamSocket*>(from->data)->read_some(count, buffer);
      });
}

/// Most peers send nothing while they are not read: to stop watching and to start again would be three system calls for
/// each of their messages. So it is stopped when there is something that nobody wants: then there is no room for it.
void StreamSocket::stop_reading() {
  if (phase_ != Phase::Leaving) reading_ = false;
}

void StreamSocket::read_some(ssize_t count, const uv_buf_t* buffer) {
  if (count == 0) return;  // EAGAIN
  // No room, since nobody wants it; or libuv saw the end together with octets after which the owner stopped. It will come
  // again.
  if (!reading_) return stop_watching();
  if (phase_ == Phase::Leaving) {
    if (count < 0) return close();
    talked_while_leaving_ = true;
    return;
  }
  if (count > 0) return handler_.on_bytes({buffer->base, static_cast<std::size_t>(count)});
  if (count != UV_EOF) return fail(static_cast<int>(count));
  ended_ = true;
  handler_.on_end();
}

void StreamSocket::stop_watching() {
  watched_ = false;
  uv_read_stop(stream());
}

/// What the peer sent before it went away is worth reading: its last reply is often there.
void StreamSocket::read_last_bytes() {
  const uv_buf_t buffer = Loop::of(stream()->loop).read_buffer();
  for (int n = 0; n < last_reads_max && reading_ && !ended_ && phase_ == Phase::Failed; ++n) {
    const ssize_t count = ::recv(descriptor(), buffer.base, buffer.len, MSG_DONTWAIT);
    if (count <= 0) return;
    handler_.on_bytes({buffer.base, static_cast<std::size_t>(count)});
  }
}

// --- writing ---

bool StreamSocket::takes_more() const {
  return (phase_ == Phase::Open || phase_ == Phase::Connecting) && !finishing_;
}

void StreamSocket::send(std::string bytes) {
  if (bytes.empty() || !takes_more()) return;
  if (phase_ == Phase::Connecting || in_flight_) {
    if (pending_.empty()) {
      pending_ = std::move(bytes);
    } else {
      pending_ += bytes;
    }
    return;
  }
  const uv_buf_t buffer = buffer_of(bytes, 0);
  const int taken = uv_try_write(stream(), &buffer, 1);
  if (taken < 0 && taken != UV_EAGAIN) return fail_later(taken);
  const auto sent = static_cast<std::size_t>(std::max(taken, 0));
  if (sent < bytes.size()) start_write(std::move(bytes), sent);
}

void StreamSocket::start_write(std::string bytes, std::size_t from) {
  in_flight_ = std::make_unique<Write>();
  in_flight_->bytes = std::move(bytes);
  const uv_buf_t buffer = buffer_of(in_flight_->bytes, from);
  const int status = uv_write(&in_flight_->request, stream(), &buffer, 1, [](uv_write_t* request, int result) {
    static_cast<StreamSocket*>(request->handle->data)->written(result);
  });
  if (status == 0) return;
  in_flight_.reset();
  fail_later(status);
}

void StreamSocket::written(int status) {
  in_flight_.reset();
  if (phase_ == Phase::Closing || phase_ == Phase::Failed) return;
  if (status < 0) return phase_ == Phase::Leaving ? close() : fail(status);
  if (!pending_.empty()) return start_write(std::exchange(pending_, {}), 0);
  all_sent();
}

void StreamSocket::all_sent() {
  if (phase_ == Phase::Leaving) return leave();
  // Not uv_shutdown(): with nothing queued it would only come one turn of the loop later.
  if (finishing_) ::shutdown(descriptor(), SHUT_WR);
  handler_.on_drained();
}

std::size_t StreamSocket::unsent() const { return pending_.size() + uv_stream_get_write_queue_size(stream()); }

void StreamSocket::finish() {
  if (!takes_more()) return;
  finishing_ = true;
  if (phase_ == Phase::Open && !in_flight_) ::shutdown(descriptor(), SHUT_WR);
}

// --- closing ---

void StreamSocket::close() {
  if (phase_ == Phase::Closing || phase_ == Phase::Closed) return;
  phase_ = Phase::Closing;
  timer_.reset();
  pending_ = {};
  uv_close(reinterpret_cast<uv_handle_t*>(stream()), [](uv_handle_t* handle) {
    auto* socket = static_cast<StreamSocket*>(handle->data);
    socket->phase_ = Phase::Closed;
    socket->handler_.on_closed();
  });
}

void StreamSocket::close_when_sent(Duration within) {
  if (phase_ == Phase::Failed) return close();
  if (phase_ != Phase::Open && phase_ != Phase::Connecting) return;
  const bool connected = phase_ == Phase::Open;
  if (!connected && pending_.empty()) return close();
  phase_ = Phase::Leaving;
  timer().start_at(Loop::of(stream()->loop).now() + within);
  if (!connected) return;
  start_reading();
  if (!in_flight_) leave();
}

void StreamSocket::leave() {
  int unread = 0;
  ::ioctl(descriptor(), FIONREAD, &unread);
  if (ended_ || (unread == 0 && !talked_while_leaving_)) return close();
  ::shutdown(descriptor(), SHUT_WR);
}

void StreamSocket::reset() {
  const linger at_once{1, 0};
  ::setsockopt(descriptor(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

// --- failing ---

void StreamSocket::fail_later(int status) {
  if (phase_ == Phase::Leaving) return close();
  failure_ = status;
  phase_ = Phase::Failed;
  timer().start_at(Loop::of(stream()->loop).now());
}

void StreamSocket::fail(int status) {
  if (phase_ == Phase::Leaving) return close();
  failure_ = status;
  phase_ = Phase::Failed;
  tell_failure();
}

void StreamSocket::tell_failure() {
  read_last_bytes();
  if (phase_ != Phase::Failed) return;  // closed by on_bytes()
  stop_watching();
  handler_.on_failure(Error{uv_strerror(failure_)});
}

Timer& StreamSocket::timer() {
  if (!timer_) timer_ = std::make_unique<Timer>(Loop::of(stream()->loop), [this] { timer_expired(); });
  return *timer_;
}

void StreamSocket::timer_expired() {
  if (phase_ == Phase::Leaving) return close();
  if (phase_ == Phase::Failed) tell_failure();
}

// --- the two kinds ---

class TcpSocket final : public StreamSocket {
 public:
  TcpSocket(Loop& loop, SocketHandler& handler) : StreamSocket(handler) {
    uv_tcp_init(loop.get(), &tcp_);
    tcp_.data = static_cast<StreamSocket*>(this);
  }

  void adopt(int descriptor, const KernelAddress& local) {
    local_ = from_kernel(local.get());
    peer_ = from_kernel(peer_address(descriptor).get());
    adopted(descriptor, uv_tcp_open(&tcp_, descriptor));
  }

  void connect(const Endpoint& to) {
    peer_ = to;
    // libuv keeps these until the descriptor is made.
    uv_tcp_nodelay(&tcp_, 1);
    uv_tcp_keepalive(&tcp_, 1, keepalive_idle_seconds);
    const int status = uv_tcp_connect(new_request(), &tcp_, to_kernel(to).get(), connected_callback);
    if (status < 0) fail_later(status);
  }

  Endpoint peer() const override { return peer_; }
  Endpoint local() const override { return local_; }

  bool acknowledged() const override {
    int in_flight = 0;
    tcp_info info{};
    socklen_t length = sizeof info;
    return unsent() == 0 && ::ioctl(descriptor(), SIOCOUTQ, &in_flight) == 0 && in_flight == 0 &&
           ::getsockopt(descriptor(), IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_state != TCP_CLOSE;
  }

 private:
  void know_local_address() override { local_ = from_kernel(local_address(descriptor()).get()); }
  uv_stream_t* stream() override { return reinterpret_cast<uv_stream_t*>(&tcp_); }
  const uv_stream_t* stream() const override { return reinterpret_cast<const uv_stream_t*>(&tcp_); }

  uv_tcp_t tcp_{};
  Endpoint peer_;
  Endpoint local_;
};

class UnixSocket final : public StreamSocket {
 public:
  UnixSocket(Loop& loop, SocketHandler& handler) : StreamSocket(handler) {
    uv_pipe_init(loop.get(), &pipe_, 0);
    pipe_.data = static_cast<StreamSocket*>(this);
  }

  void adopt(int descriptor) {
    adopted(descriptor, uv_pipe_open(&pipe_, descriptor));
  }

  void connect(const std::string& path) {
    // libuv would cut it, and connect to something else.
    if (path.size() >= sizeof sockaddr_un{}.sun_path) return fail_later(UV_ENAMETOOLONG);
    uv_pipe_connect(new_request(), &pipe_, path.c_str(), connected_callback);
  }

  bool acknowledged() const override { return unsent() == 0; }
  Endpoint peer() const override { return {}; }
  Endpoint local() const override { return {}; }

 private:
  void know_local_address() override {}
  uv_stream_t* stream() override { return reinterpret_cast<uv_stream_t*>(&pipe_); }
  const uv_stream_t* stream() const override { return reinterpret_cast<const uv_stream_t*>(&pipe_); }

  uv_pipe_t pipe_{};
};

}  // namespace

std::unique_ptr<Socket> Socket::adopt(Loop& loop, int descriptor, SocketHandler& handler) {
  const KernelAddress local = local_address(descriptor);
  if (local.storage.ss_family == AF_UNIX) {
    auto made = std::make_unique<UnixSocket>(loop, handler);
    made->adopt(descriptor);
    return made;
  }
  auto made = std::make_unique<TcpSocket>(loop, handler);
  made->adopt(descriptor, local);
  return made;
}

std::unique_ptr<Socket> Socket::connect(Loop& loop, const Endpoint& to, SocketHandler& handler) {
  auto made = std::make_unique<TcpSocket>(loop, handler);
  made->connect(to);
  return made;
}

std::unique_ptr<Socket> Socket::connect_unix(Loop& loop, const std::string& path, SocketHandler& handler) {
  auto made = std::make_unique<UnixSocket>(loop, handler);
  made->connect(path);
  return made;
}

Endpoint peer_of(int descriptor) { return from_kernel(peer_address(descriptor).get()); }

}  // namespace postern::uv
