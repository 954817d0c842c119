// The SSL object reads and writes our ByteQueues directly, through a BIO that holds nothing. BoringSSL frees its own
// record buffers whenever they are empty, and its handshake state and configuration after the handshake; so what an
// idle connection keeps is the SSL object, its keys, and this.
#include "tls/stream.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "base/bytes.h"
#include "tls/alert.h"
#include "tls/compat.h"
#include "tls/connection.h"
#include "tls/errors.h"

namespace postern::tls {

namespace {

constexpr std::size_t record_plaintext_octets_max = 16384;  // RFC 8446 section 5.1
constexpr std::size_t write_octets_max = std::size_t{1} << 30;

constexpr std::size_t clear_alert_octets = 7;  // header, level, description

/// Ciphertext on its way in and out.
struct Wire {
  ByteQueue input;
  ByteQueue output;
  std::array<char, clear_alert_octets> last_read{};  ///< the latest octets that BoringSSL took

  void remember(std::string_view octets) {
    const auto kept = octets.substr(octets.size() - std::min(octets.size(), last_read.size()));
    std::copy(last_read.begin() + static_cast<std::ptrdiff_t>(kept.size()), last_read.end(), last_read.begin());
    std::copy(kept.begin(), kept.end(), last_read.end() - static_cast<std::ptrdiff_t>(kept.size()));
  }
};

/// The alert in the record that was read last, if that is an alert in clear (RFC 8446 section 5.1).
std::optional<int> alert_in_clear(const Wire& wire) {
  constexpr char alert = 21, major_version = 3;
  const auto& record = wire.last_read;
  if (record[0] != alert || record[1] != major_version || record[3] != 0 || record[4] != 2) return std::nullopt;
  if (record[5] != SSL3_AL_WARNING && record[5] != SSL3_AL_FATAL) return std::nullopt;
  return static_cast<unsigned char>(record[6]);
}

int read_wire(BIO* bio, char* out, int out_length) noexcept {
  ByteQueue& input = static_cast<Wire*>(BIO_get_data(bio))->input;
  BIO_clear_retry_flags(bio);
  if (input.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::string_view waiting = input.view().substr(0, static_cast<std::size_t>(out_length));
  std::copy(waiting.begin(), waiting.end(), out);
  static_cast<Wire*>(BIO_get_data(bio))->remember(waiting);
  input.consume(waiting.size());
  return static_cast<int>(waiting.size());
}

int write_wire(BIO* bio, const char* in, int in_length) noexcept {
  static_cast<Wire*>(BIO_get_data(bio))->output.append({in, static_cast<std::size_t>(in_length)});
  return in_length;
}

long control_wire(BIO* /*bio*/, int command, long /*number*/, void* /*pointer*/) noexcept {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int create_wire(BIO* bio) noexcept {
  BIO_set_init(bio, 1);
  return 1;
}

const BIO_METHOD* wire_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index(), "postern wire");
    BIO_meth_set_create(made, create_wire);
    BIO_meth_set_read(made, read_wire);
    BIO_meth_set_write(made, write_wire);
    BIO_meth_set_ctrl(made, control_wire);
    return made;
  }();
  return method;
}

HandshakeFacts facts_of(const SSL* ssl) {
  HandshakeFacts facts;
  facts.version = SSL_get_version(ssl);
  const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl);
  facts.cipher = SSL_CIPHER_standard_name(cipher);
  facts.cipher_bits = static_cast<unsigned>(SSL_CIPHER_get_bits(cipher, nullptr));
  if (const char* group = SSL_get_curve_name(SSL_get_curve_id(ssl))) facts.group = group;
  const std::uint8_t* protocol = nullptr;
  unsigned protocol_length = 0;
  SSL_get0_alpn_selected(ssl, &protocol, &protocol_length);
  facts.alpn.assign(reinterpret_cast<const char*>(protocol), protocol_length);
  facts.resumed = SSL_session_reused(ssl) == 1;
  return facts;
}

class TlsStream final : public Stream {
 public:
  TlsStream(SSL_CTX* context, Connection connection)
      : connection_(std::move(connection)), ssl_(SSL_new(context)) {
    BIO* bio = BIO_new(wire_method());
    BIO_set_data(bio, &wire_);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL_set_shed_handshake_config(ssl_.get(), 1);
    set_connection(ssl_.get(), &connection_);
    if (connection_.server) {
      SSL_set_accept_state(ssl_.get());
      return;
    }
    if (connection_.client->name) SSL_set_tlsext_host_name(ssl_.get(), connection_.client->name->text().c_str());
    SSL_set_connect_state(ssl_.get());
    SSL_do_handshake(ssl_.get());  // the ClientHello; it cannot fail before the server has spoken
    drain_errors();
  }

  void receive(std::string_view ciphertext) override {
    if (phase_ == Phase::Handshake && connection_.server) look_for_hello(ciphertext);
    if (phase_ != Phase::Over) wire_.input.append(ciphertext);
  }

  std::optional<StreamEvent> next() override {
    if (phase_ == Phase::Handshake) return continue_handshake();
    if (phase_ == Phase::Open) return read();
    plaintext_.reset();
    return std::nullopt;
  }

  void send(std::string_view plaintext) override {
    assert(established_);
    while (phase_ == Phase::Open && !closed_ && !plaintext.empty()) {
      const auto length = std::min(plaintext.size(), write_octets_max);
      const int written = SSL_write(ssl_.get(), plaintext.data(), static_cast<int>(length));
      drain_errors();
      if (written <= 0) return;  // the wire takes everything: only a connection that has already failed gets here
      plaintext.remove_prefix(static_cast<std::size_t>(written));
    }
  }

  void close() override {
    if (established_ && !closed_) SSL_shutdown(ssl_.get());
    drain_errors();
    closed_ = true;
  }

  std::string take_output() override { return wire_.output.take(); }

  std::optional<KeyOperation> take_key_operation() override {
    if (!connection_.key_use) return std::nullopt;
    return std::exchange(connection_.key_use->operation, std::nullopt);
  }

  void complete_key_operation(Result<std::string> outcome) override {
    if (phase_ != Phase::Handshake || !connection_.key_use) return;
    if (!outcome) connection_.refusal = outcome.error().text;
    connection_.key_use->outcome = outcome ? std::move(*outcome) : std::string();
  }

  void provide_credential(Result<std::shared_ptr<const Credential>> credential) override {
    if (phase_ != Phase::Handshake || !needs_credential_) return;
    needs_credential_ = false;
    ServerHandshake& handshake = *connection_.server;
    if (credential) {
      handshake.choice.credential = std::move(*credential);
    } else {
      const auto failed = std::exchange(handshake.choice, handshake.source->choose_default(*handshake.hello));
      handshake.credential_failure = std::move(credential.error().text);
      // The default is what could not be read.
      if (failed.match == Match::Default) handshake.choice.credential = nullptr;
    }
  }

  bool established() const override { return established_; }
  const HandshakeFacts& facts() const override { return facts_; }

  const ClientHello* hello() const override {
    const auto& server = connection_.server;
    return server && server->hello ? &*server->hello : nullptr;
  }

  const Choice& choice() const override {
    static const Choice none;
    return connection_.server ? connection_.server->choice : none;
  }

  std::vector<std::string> peer_chain() const override {
    std::vector<std::string> chain;
    const STACK_OF(CRYPTO_BUFFER)* certificates = SSL_get0_peer_certificates(ssl_.get());
    const std::size_t length = certificates == nullptr ? 0 : sk_CRYPTO_BUFFER_num(certificates);
    for (std::size_t i = 0; i < length; ++i) {
      const CRYPTO_BUFFER* certificate = sk_CRYPTO_BUFFER_value(certificates, i);
      chain.emplace_back(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(certificate)),
                         CRYPTO_BUFFER_len(certificate));
    }
    return chain;
  }

  void forget_handshake() override {
    if (phase_ == Phase::Handshake) return;
    connection_.server.reset();
    connection_.client.reset();
    connection_.key_use.reset();
  }

 private:
  enum class Phase : std::uint8_t { Handshake, Open, Over };

  void look_for_hello(std::string_view ciphertext) {
    ServerHandshake& handshake = *connection_.server;
    if (handshake.reader.state() != ClientHelloReader::State::NeedMore) return;
    if (handshake.reader.receive(ciphertext) == ClientHelloReader::State::Complete) {
      handshake.hello = handshake.reader.take_hello();
    }
  }

  std::optional<StreamEvent> continue_handshake() {
    if (needs_credential_) return std::nullopt;
    const int result = SSL_do_handshake(ssl_.get());
    if (result != 1) {
      const int error = SSL_get_error(ssl_.get(), result);
      if (error != SSL_ERROR_PENDING_CERTIFICATE) return ended(error);
      drain_errors();
      needs_credential_ = true;
      return NeedsCredential{connection_.server->choice.credential};
    }
    drain_errors();
    facts_ = facts_of(ssl_.get());
    established_ = true;
    phase_ = Phase::Open;
    return Established{};
  }

  std::optional<StreamEvent> read() {
    if (!plaintext_) plaintext_.reset(new char[record_plaintext_octets_max]);
    const int length = SSL_read(ssl_.get(), plaintext_.get(), static_cast<int>(record_plaintext_octets_max));
    if (length <= 0) {
      plaintext_.reset();
      return ended(SSL_get_error(ssl_.get(), length));
    }
    drain_errors();
    return Plaintext{{plaintext_.get(), static_cast<std::size_t>(length)}};
  }

  /// What it means that BoringSSL did not do what it was asked for.
  std::optional<StreamEvent> ended(int error) {
    const std::string library_reason = drain_errors();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_PRIVATE_KEY_OPERATION) return std::nullopt;
    const bool during_handshake = phase_ == Phase::Handshake;
    phase_ = Phase::Over;
    wire_.input.clear();
    if (error == SSL_ERROR_ZERO_RETURN) {
      if (!during_handshake) return PeerClosed{};
      connection_.alert_received = alert_close_notify;
    }
    // A client with OpenSSL that refuses a certificate of TLS 1.3 says so in clear, because it has not yet switched to
    // its key for writing; BoringSSL only sees a record that is too short.
    if (during_handshake && !connection_.alert_received) connection_.alert_received = alert_in_clear(wire_);
    return TlsFailed{.reason = reason(library_reason),
                     .alert_received = connection_.alert_received,
                     .alert_sent = connection_.alert_sent,
                     .during_handshake = during_handshake};
  }

  /// The most telling thing that is known about a failure.
  std::string reason(const std::string& library_reason) const {
    if (connection_.alert_received) return fmt::format("peer sent alert {}", alert_name(*connection_.alert_received));
    if (!connection_.refusal.empty()) return connection_.refusal;
    if (const auto& server = connection_.server) {
      if (server->reader.state() == ClientHelloReader::State::NotTls && !server->hello) {
        return "the peer does not speak TLS";
      }
      if (server->hello && server->hello->sni == SniKind::Malformed) return "malformed server name in the ClientHello";
    }
    return library_reason.empty() ? "the TLS library gave no reason" : library_reason;
  }

  Wire wire_;
  Connection connection_;
  bssl::UniquePtr<SSL> ssl_;  // refers to the two above
  std::unique_ptr<char[]> plaintext_;
  HandshakeFacts facts_;
  Phase phase_ = Phase::Handshake;
  bool needs_credential_ = false;
  bool established_ = false;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Stream> Stream::server(std::shared_ptr<const ServerContext> context,
                                       std::shared_ptr<const CredentialSource> source, WallTime now) {
  Connection connection;
  connection.server = std::make_unique<ServerHandshake>();
  SSL_CTX* const raw = context->get();
  connection.context = std::move(context);
  connection.server->source = std::move(source);
  connection.server->now = now;
  return std::make_unique<TlsStream>(raw, std::move(connection));
}

std::unique_ptr<Stream> Stream::client(std::shared_ptr<const ClientContext> context, std::optional<DnsName> name) {
  SSL_CTX* const raw = context->get();
  Connection connection;
  connection.client = std::make_unique<ClientHandshake>();
  connection.client->context = std::move(context);
  connection.client->name = std::move(name);
  return std::make_unique<TlsStream>(raw, std::move(connection));
}

}  // namespace postern::tls
