// One connection of a listener that speaks HTTP: the MTA-STS policy host, or the place where an ACME server looks for
// challenges. Moves bytes between the socket, the TLS stream and the HTTP core, and asks its site for the answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/shared_view.h"
#include "daemon/session/handshake.h"
#include "daemon/session/ids.h"
#include "daemon/session/journal.h"
#include "daemon/session/settings.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/socket.h"
#include "daemon/uv/work_pool.h"
#include "http/server_core.h"
#include "observe/event.h"
#include "tls/stream.h"

namespace postern::session {

using WebId = std::uint64_t;

class Web;

/// The connections of a worker by their number.
class WebDirectory {
 public:
  virtual ~WebDirectory() = default;
  virtual Web* find_web(WebId id) = 0;  ///< of one that was not yet web_closed()
  /// The socket is closed and nothing is under way: the connection may be destroyed now, and will be.
  virtual void web_closed(WebId id) = 0;
};

/// What the web connections of a worker share; outlives them all.
struct WebServices {
  uv::Loop& loop;
  uv::WorkPool& file_pool;
  HandshakeServices& handshakes;
  View<RunSettings>& settings;
  View<TlsGeneration>& tls;
  Journal& journal;
  IdSource& ids;
  WebDirectory& directory;
};

class Web final : private uv::SocketHandler {
 public:
  /// Takes over an accepted descriptor; `listener` is the address it was accepted at.
  Web(WebServices& services, WebId id, int descriptor, const Endpoint& listener);
  ~Web() override;

  const IpAddress& peer_address() const { return peer_.address; }
  /// Closed, once what was answered has been sent.
  void shut_down();

 private:
  void on_bytes(std::string_view bytes) override;
  void on_end() override;
  void on_failure(const Error& error) override;
  void on_closed() override;

  void start_tls();
  void start_http();
  void pump();
  bool read_stream();
  Later pool_done();
  void complete_handshake(const Completion& complete);
  void handle(const http::Request& request);
  void look_for_challenge(const http::Request& request, const std::string& webroot);
  void challenge_read(const http::Request& request, const http::Response& response);
  void answer(const http::Request& request, const http::Response& response);
  void send_output();
  void close();
  void on_timer();

  WebServices& services_;
  const WebId id_;
  std::unique_ptr<uv::Socket> socket_;
  Endpoint peer_;
  Endpoint listener_;
  std::unique_ptr<tls::Stream> stream_;     // with TLS
  std::optional<http::ServerCore> http_;    // once TLS stands, or at once
  std::optional<Instant> handshake_deadline_;
  observe::HttpRecord facts_;
  uv::Timer timer_;
  bool closing_ = false;
  bool handshake_in_pool_ = false;  // nothing is read meanwhile
  bool reading_file_ = false;   // the file pool has a challenge of ours in hand
  bool socket_closed_ = false;
};

}  // namespace postern::session
