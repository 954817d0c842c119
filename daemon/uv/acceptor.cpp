#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "daemon/uv/socket.h"

namespace postern::uv {

namespace {

constexpr auto back_off = std::chrono::milliseconds(100);
constexpr auto tell_again_after = std::chrono::minutes(1);
// A burst of connections must not keep the sessions of this loop waiting for longer than a moment.
constexpr int accepts_a_turn_max = 64;

/// A descriptor that is given up when there is no other, to accept with it.
int open_spare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool out_of_descriptors(int error) { return error == EMFILE || error == ENFILE; }

/// Errors of one connection that had come to its end before it was accepted, or that Linux passes on from the network
/// (accept(2)): the next one may be well.
bool concerns_one_connection(int error) {
  switch (error) {
    case ECONNABORTED:
    case EINTR:
    case ENETDOWN:
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:  // a firewall rule
      return true;
    default:
      return false;
  }
}

}  // namespace

// Not uv_listen(): it cannot hand out bare descriptors, and its own way out of EMFILE drops connections untold.
struct Acceptor::State {
  State(Loop& on, Bound what, std::function<void(int)> accepted, std::function<void(const Error&)> trouble)
      : loop(on),
        bound(what),
        on_accept(std::move(accepted)),
        on_trouble(std::move(trouble)),
        resume(std::make_unique<Timer>(on, [this] { poll(); })),
        spare(open_spare()) {}

  Loop& loop;
  Bound bound;
  std::function<void(int)> on_accept;
  std::function<void(const Error&)> on_trouble;
  std::unique_ptr<Timer> resume;
  uv_poll_t handle{};
  int spare;
  bool closed = false;
  bool handle_closed = false;
  bool abandoned = false;  ///< the Acceptor is gone: delete at the close callback
  Troubles troubles;
  bool shut = false;       ///< not listening: see Acceptor::shut()
  bool backed_off = false;  ///< the accept before this one has failed too
  std::optional<Instant> told;

  void poll() {
    uv_poll_start(&handle, UV_READABLE, [](uv_poll_t* ready, int, int) {
      static_cast<State*>(ready->data)->accept_some();
    });
  }

  void accept_some(int accepts_max = accepts_a_turn_max) {
    for (int n = 0; n < accepts_max && !closed; ++n) {
      const int descriptor = ::accept4(bound.descriptor, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (descriptor >= 0) {
        backed_off = false;
        on_accept(descriptor);
        continue;
      }
      if (errno == EAGAIN) return;
      if (concerns_one_connection(errno)) continue;
      return pause(errno);
    }
  }

  void pause(int error) {
    ++troubles.failures;
    if (out_of_descriptors(error) && std::exchange(backed_off, true)) shed();
    uv_poll_stop(&handle);
    if (!shut) resume->start_at(loop.now() + back_off);
    if (told && loop.now() - *told < tell_again_after) return;
    told = loop.now();
    on_trouble(Error{fmt::format("{}: connections cannot be accepted: {}{}", bound.endpoint.text(),
                                 std::generic_category().message(error),
                                 out_of_descriptors(error) ? " (raise LimitNOFILE, or lower limits.connections)" : "")});
  }

  /// Accepts and closes those who wait.
  void shed() {
    if (spare >= 0) ::close(spare);
    for (int n = 0; n < SOMAXCONN; ++n) {
      const int descriptor = ::accept4(bound.descriptor, nullptr, nullptr, SOCK_CLOEXEC);
      if (descriptor < 0) break;
      ::close(descriptor);
      ++troubles.shed;
    }
    spare = open_spare();
  }

  void close() {
    if (std::exchange(closed, true)) return;
    resume.reset();
    // The handle before its descriptor: the number may be somebody else's at once.
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), [](uv_handle_t* closed_handle) {
      auto* state = static_cast<State*>(closed_handle->data);
      state->handle_closed = true;
      if (state->abandoned) delete state;
    });
    ::close(bound.descriptor);
    if (spare >= 0) ::close(spare);
  }
};

Acceptor::Acceptor(Loop& loop, Bound bound, std::function<void(int descriptor)> on_accept,
                   std::function<void(const Error&)> on_trouble)
    : state_(new State(loop, bound, std::move(on_accept), std::move(on_trouble))) {
  uv_poll_init(loop.get(), &state_->handle, bound.descriptor);
  state_->handle.data = state_;
  state_->poll();
}

Acceptor::~Acceptor() {
  state_->close();
  state_->abandoned = true;
  if (state_->handle_closed) delete state_;
}

const Endpoint& Acceptor::endpoint() const { return state_->bound.endpoint; }

const Acceptor::Troubles& Acceptor::troubles() const { return state_->troubles; }

void Acceptor::shut() {
  State& state = *state_;
  if (state.closed || std::exchange(state.shut, true)) return;
  state.resume->stop();
  uv_poll_stop(&state.handle);
  state.accept_some(SOMAXCONN);
  // Linux: a listening TCP socket that is shut down for reading listens no more and stays bound.
  ::shutdown(state.bound.descriptor, SHUT_RD);
}

Result<void> Acceptor::open() {
  State& state = *state_;
  if (state.closed || !state.shut) return {};
  if (::listen(state.bound.descriptor, SOMAXCONN) != 0) {
    return fail("{}: {}", state.bound.endpoint.text(), std::generic_category().message(errno));
  }
  state.shut = false;
  state.poll();
  return {};
}

void Acceptor::close() { state_->close(); }

}  // namespace postern::uv
