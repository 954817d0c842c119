// The other end of TLS tests: a source of credentials by name, a plain BoringSSL client that can be told to misbehave,
// and a pump that carries bytes between it and a Stream.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tls/credential.h"
#include "tls/stream.h"

namespace postern::test {

/// Names to credentials, exact match only, else the default. The identity is made of the name and the leaf.
class MapSource : public tls::CredentialSource {
 public:
  explicit MapSource(std::shared_ptr<const tls::Credential> default_credential)
      : default_(std::move(default_credential)) {}
  void add(std::string_view name, std::shared_ptr<const tls::Credential> credential);
  tls::Choice choose(const tls::ClientHello& hello) const noexcept override;

 private:
  std::map<std::string, std::shared_ptr<const tls::Credential>, std::less<>> map_;
  std::shared_ptr<const tls::Credential> default_;
};

/// BoringSSL's client over memory BIOs, without any of our code. It verifies nothing.
class PlainClient {
 public:
  PlainClient();
  SSL_CTX* context() const { return context_.get(); }
  /// Made on first use; configure the context before.
  SSL* ssl();

  void set_server_name(const std::string& raw) { SSL_set_tlsext_host_name(ssl(), raw.c_str()); }
  void offer_protocols(const std::vector<std::string>& protocols);

  /// Goes on with the handshake; true once it is complete.
  bool handshake();
  void receive(std::string_view ciphertext);
  std::string take_output();
  void send(std::string_view plaintext);
  std::string read();

  /// SHA-256 of the leaf that the server showed.
  std::optional<tls::Digest> server_leaf();
  /// The tickets that came so far.
  const std::vector<bssl::UniquePtr<SSL_SESSION>>& sessions() const { return sessions_; }
  const std::string& failure() const { return failure_; }  ///< why handshake() ended, or empty

 private:
  bssl::UniquePtr<SSL_CTX> context_;
  std::vector<bssl::UniquePtr<SSL_SESSION>> sessions_;
  bssl::UniquePtr<SSL> ssl_;
  std::string failure_;
};

/// What a Stream said, for comparing.
struct Heard {
  bool established = false;
  std::string plaintext;
  bool closed = false;
  std::optional<tls::TlsFailed> failed;

  void take_events(tls::Stream& stream);
};

/// Carries bytes both ways, at most `octets_max` in one piece, until neither end has more to say.
void pump(PlainClient& client, tls::Stream& server, Heard& heard, std::size_t octets_max = std::string::npos);
void pump(tls::Stream& client, Heard& client_heard, tls::Stream& server, Heard& server_heard,
          std::size_t octets_max = std::string::npos);

}  // namespace postern::test
