// One client connection of the load generator: it greets, starts TLS if asked to, greets again, and then hands replies
// to whoever drives it. It trusts the server to speak SMTP; posternd's tests look at that, not this.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/dns_name.h"
#include "daemon/uv/socket.h"
#include "tls/stream.h"

namespace postern::bench {

/// With a context: TLS, with `name` in SNI.
struct Security {
  enum class Begin { StartTls, AtOnce };
  Begin begin = Begin::StartTls;
  std::shared_ptr<const tls::ClientContext> context;
  std::optional<DnsName> name;
};

class Dialogue final : uv::SocketHandler {
 public:
  struct Callbacks {
    std::function<void(Dialogue&)> on_ready;                ///< the last EHLO was answered
    std::function<void(Dialogue&, int code)> on_reply;      ///< to what was sent after that
    std::function<void(Dialogue&, std::string why)> on_end; ///< `why` is empty after an orderly end; destroy it later
  };
  /// `callbacks` is borrowed, it serves all dialogues of a run.
  Dialogue(uv::Loop& loop, const Endpoint& to, Security security, const Callbacks& callbacks);

  void send(std::string_view text);
  /// Sends QUIT; the server's end of the connection is then an orderly one.
  void quit();

 private:
  enum class Stage { Greeting, Ehlo, StartTls, Handshake, Ready, Quitting };

  void on_bytes(std::string_view bytes) override;
  void on_end() override;
  void on_failure(const Error& error) override;
  void on_closed() override;

  void on_connected() override;
  void start_tls();
  void receive_tls(std::string_view ciphertext);
  void receive(std::string_view text);
  void replied(int code);
  void broken(std::string why);

  const Callbacks& callbacks_;
  Security security_;
  Stage stage_ = Stage::Greeting;
  std::unique_ptr<tls::Stream> stream_;
  std::string line_;  // the beginning of a line whose end has not come yet
  std::string why_;
  std::unique_ptr<uv::Socket> socket_;
};

}  // namespace postern::bench
