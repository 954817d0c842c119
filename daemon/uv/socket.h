// Stream sockets (TCP and unix) on a loop: accepted, connected, read, written, closed. No protocol.
//
// libuv rules that this file keeps for everybody else: a handle's memory lives until its close callback; no callback of
// a Handler comes after on_closed(); on_closed() is always the last and comes exactly once after close(), never from
// within close() itself.
//
// libuv writes without MSG_NOSIGNAL: the process must ignore SIGPIPE.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "daemon/uv/loop.h"

namespace postern::uv {

/// What a Socket tells its owner. The owner must outlive the socket's on_closed().
class SocketHandler {
 public:
  virtual ~SocketHandler() = default;
  /// connect() has succeeded. Never for accepted sockets.
  virtual void on_connected() {}
  /// Good only during the call.
  virtual void on_bytes(std::string_view bytes) = 0;
  /// Everything that was sent has been given to the kernel. Only after something had to wait (unsent() was not 0), and
  /// never within send().
  virtual void on_drained() {}
  /// The peer has sent its FIN; writing is still possible.
  virtual void on_end() = 0;
  /// The socket is of no more use (reset, time-out, connect refused): close() it. Comes once, never within a call of
  /// the owner's; what the peer had sent before has been given to on_bytes() if reading was on.
  virtual void on_failure(const Error& error) = 0;
  /// The owner may now destroy the socket and itself.
  virtual void on_closed() = 0;
};

/// Descriptors are non-blocking and close-on-exec; TCP has TCP_NODELAY and SO_KEEPALIVE.
class Socket {
 public:
  /// Takes over a connected descriptor, of an Acceptor.
  static std::unique_ptr<Socket> adopt(Loop& loop, int descriptor, SocketHandler& handler);
  /// Starts to connect; on_connected() or on_failure() follows, never within the call.
  static std::unique_ptr<Socket> connect(Loop& loop, const Endpoint& to, SocketHandler& handler);
  static std::unique_ptr<Socket> connect_unix(Loop& loop, const std::string& path, SocketHandler& handler);
  /// Only after (or in) on_closed().
  virtual ~Socket() = default;

  /// Reading is off at first. May be asked for before the connection stands.
  virtual void start_reading() = 0;
  virtual void stop_reading() = 0;  ///< at once: nothing more comes, although libuv may see that there is something
  /// How much on_bytes() gets at a time; Loop::read_octets_max at first, and at most.
  virtual void read_at_most(std::size_t octets) = 0;

  /// Tries to write at once; what the kernel does not take waits here. After finish() or a close it does nothing.
  virtual void send(std::string bytes) = 0;
  /// Octets that wait to be written.
  virtual std::size_t unsent() const = 0;
  /// False from a failure (also one that on_failure() has still to tell), finish() or close on: send() does nothing.
  virtual bool takes_more() const = 0;
  /// The peer's host has everything that was sent, as far as can be known: it has acknowledged it, and has not reset the
  /// connection. (Over a unix socket: everything was written.)
  virtual bool acknowledged() const = 0;
  /// FIN, once everything has been sent.
  virtual void finish() = 0;
  /// Idempotent.
  virtual void close() = 0;
  /// close(), once everything has been sent or `within` has passed. Nothing is read from here on; but a peer that is
  /// still talking is sent a FIN and listened to in vain until it stops, within the same time: to close over unread
  /// bytes would reset the connection and could take our last reply from the peer.
  virtual void close_when_sent(Duration within) = 0;
  /// RST instead of FIN, so that the peer cannot mistake it for an orderly end.
  virtual void reset() = 0;

  /// Of a TCP socket, also after it was closed; the unspecified address for a unix one.
  virtual Endpoint peer() const = 0;
  virtual Endpoint local() const = 0;
};

/// Who is at the other end of a connected TCP descriptor, before anything is done with it.
Endpoint peer_of(int descriptor);

/// A bound, listening descriptor, not yet on any loop (so that binding can happen at start, with privileges, and
/// failures are said plainly: "0.0.0.0:25: permission denied: ports below 1024 need CAP_NET_BIND_SERVICE").
struct Bound {
  int descriptor = -1;
  Endpoint endpoint;  ///< with the port that the kernel chose when 0 was asked
};

/// IPv6 sockets take no IPv4 connections (IPV6_V6ONLY).
Result<Bound> bind_tcp(const Endpoint& endpoint);

/// `count` of them, one at least, among which the kernel divides the connections (SO_REUSEPORT). Fails when anybody listens
/// there already, also another posternd, which would take a share of the mail: of two that come at the same time, too,
/// one at most gets the port. (Who comes later with SO_REUSEPORT and the same user id is not kept out.)
Result<std::vector<Bound>> bind_tcp_shared(const Endpoint& endpoint, std::size_t count);

/// Takes the place of a socket file on which nobody listens any more. `mode` (0660) holds before the first connection
/// can be made. The file stays behind when the descriptor is closed.
Result<Bound> bind_unix(const std::string& path, unsigned mode);

class Acceptor {
 public:
  /// Owns the descriptor. `on_accept` gets each connection's descriptor. When accept fails for want of descriptors or
  /// memory it backs off for a moment instead of spinning; who still waits after that is accepted and closed at once,
  /// so that a sender turns to another MX. `on_trouble` is told when that begins, and once a minute while it lasts.
  Acceptor(Loop& loop, Bound bound, std::function<void(int descriptor)> on_accept,
           std::function<void(const Error&)> on_trouble);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  /// What went wrong so far.
  struct Troubles {
    std::uint64_t failures = 0;  ///< times that it had to back off
    std::uint64_t shed = 0;      ///< connections that were accepted to be closed at once
  };
  const Troubles& troubles() const;

  const Endpoint& endpoint() const;
  /// Lets nobody in any more, so that connects are refused, and keeps the address; open() lets them in again. All who
  /// were in line are accepted first. Of a TCP socket; for all who share it.
  void shut();
  /// Fails when the address has been taken by somebody else meanwhile.
  Result<void> open();
  /// Stops listening and closes the descriptor. Idempotent; no callback comes after it.
  void close();

 private:
  struct State;
  State* state_;  // freed by its close callback
};

}  // namespace postern::uv
