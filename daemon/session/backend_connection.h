// One connection to a backend: a socket, TLS where it is wanted, a smtp::ClientSession and one timer for all their time
// limits. It carries bytes and tells its owner what the session says; who uses it for what is the owner's business.
#pragma once

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/instant.h"
#include "daemon/session/address_queue.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "daemon/uv/work_pool.h"
#include "delivery/pool.h"
#include "delivery/settings.h"
#include "smtp/client_session.h"
#include "tls/context.h"
#include "tls/stream.h"

namespace postern::session {

class BackendConnection final : private uv::SocketHandler {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// A failure to connect is a SessionFailed, too. After a SessionFailed: drop() the connection.
    virtual void on_event(delivery::ConnectionId connection, smtp::ClientEvent event) = 0;
    /// What was sent has left: there is room for more of a body.
    virtual void on_room(delivery::ConnectionId connection) = 0;
    /// The last call, never from within one of the connection's own: the owner may now destroy it.
    virtual void on_closed(delivery::ConnectionId connection) = 0;
  };

  struct Settings {
    smtp::ClientOptions session;
    Duration connect_max = std::chrono::seconds(10);
    delivery::BackendTls::Mode tls = delivery::BackendTls::Mode::Off;
    std::shared_ptr<const tls::ClientContext> tls_context;  ///< null only where `tls` is Off
    std::optional<DnsName> tls_name;                        ///< what the certificate must be for, and SNI
    uv::WorkPool* key_pool = nullptr;  ///< where an RSA key of ours is used; null: `tls_context` has none
    std::string preamble;  ///< said in clear before anything else: a PROXY header
  };
  /// Time runs from here: `connect_max` until one of the addresses has accepted. Nothing happens before one of
  /// the following, so that names can be resolved within that time.
  BackendConnection(uv::Loop& loop, Owner& owner, delivery::ConnectionId id, Settings settings);
  ~BackendConnection() override;

  void connect_to(const Endpoint& address);
  /// The addresses of a name. Tries one after the other, each for its share of the time that is left.
  void connect_any(std::vector<Endpoint> addresses);
  void connect_unix(const std::string& path);
  /// The target has no address.
  void cannot_connect(Error why);

  /// Only from PeerReady on, until it has failed.
  smtp::ClientSession& session() { return *session_; }

  /// Whom it is connected to, or tries; nothing for a unix socket.
  const std::optional<Endpoint>& peer() const { return peer_; }

  /// Null without TLS, and until its handshake is over.
  const tls::HandshakeFacts* tls_facts() const { return secured() ? &stream_->facts() : nullptr; }

  /// After calls on the session: sends what it has to say, and tells the owner of its events (when called from within
  /// an on_event(): after that).
  void pump();
  /// Only sends.
  void flush();

  Instant now() const { return loop_.now(); }

  /// Octets that the socket has not taken yet; without a limit when it has failed, which the owner is about to be told.
  std::size_t unsent() const {
    return socket_->takes_more() ? socket_->unsent() : std::numeric_limits<std::size_t>::max();
  }

  /// QUIT if the session is idle, then close.
  void quit();
  /// Closes at once. No event follows, only on_closed().
  void drop();

 private:
  enum class Phase { Dialling, Connecting, Open, Closing };

  void on_connected() override;
  void on_bytes(std::string_view bytes) override;
  void on_drained() override;
  void on_end() override;
  void on_failure(const Error& error) override;
  void on_closed() override;

  void connect_next();
  void connect_failed(Error error);
  void lose(std::string reason);
  void start_tls();
  bool secured() const { return stream_ && stream_->established(); }
  bool handle_session_event();
  bool handle_stream_event();
  bool use_key();
  void flush_records();
  void watch_time();
  void expired();

  uv::Loop& loop_;
  Owner& owner_;
  delivery::ConnectionId id_;
  Settings settings_;
  AddressQueue addresses_;  // still to be tried
  bool looked_up_ = false;  // they are those of a name: what fails says at which
  std::optional<Endpoint> peer_;
  std::optional<smtp::ClientSession> session_;  // from the moment the connection stands
  std::unique_ptr<tls::Stream> stream_;         // from the moment that TLS begins
  std::unique_ptr<uv::Socket> socket_;
  uv::Timer timer_;
  Phase phase_ = Phase::Dialling;
  bool pumping_ = false;
  std::shared_ptr<const char> alive_ = std::make_shared<const char>();  // for what comes back from the pool
};

}  // namespace postern::session
