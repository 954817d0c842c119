#include "tests/support/tls_peers.h"

#include <algorithm>

#include "tls/errors.h"

namespace postern::test {

using namespace postern::tls;

void MapSource::add(std::string_view name, std::shared_ptr<const Credential> credential) {
  map_.emplace(name, std::move(credential));
}

Choice MapSource::choose(const ClientHello& hello) const noexcept {
  Choice choice;
  const auto found = hello.server_name ? map_.find(hello.server_name->text()) : map_.end();
  choice.credential = found == map_.end() ? default_ : found->second;
  choice.match = found == map_.end() ? Match::Default : Match::Exact;
  std::string identity = found == map_.end() ? "" : found->first;
  if (choice.credential) identity.append(choice.credential->leaf.fingerprint.begin(), choice.credential->leaf.fingerprint.end());
  SHA256(reinterpret_cast<const std::uint8_t*>(identity.data()), identity.size(), choice.identity.data());
  return choice;
}

PlainClient::PlainClient() : context_(SSL_CTX_new(TLS_with_buffers_method())) {
  SSL_CTX_set_custom_verify(context(), SSL_VERIFY_NONE, [](SSL*, std::uint8_t*) { return ssl_verify_ok; });
  SSL_CTX_set_session_cache_mode(context(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context(), [](SSL* ssl, SSL_SESSION* session) {
    static_cast<PlainClient*>(SSL_get_app_data(ssl))->sessions_.emplace_back(session);
    return 1;
  });
}

SSL* PlainClient::ssl() {
  if (!ssl_) {
    ssl_.reset(SSL_new(context()));
    SSL_set_app_data(ssl_.get(), this);
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl_.get()), -1);
    SSL_set_connect_state(ssl_.get());
  }
  return ssl_.get();
}

void PlainClient::offer_protocols(const std::vector<std::string>& protocols) {
  std::string list;
  for (const std::string& protocol : protocols) {
    list += static_cast<char>(protocol.size());
    list += protocol;
  }
  SSL_set_alpn_protos(ssl(), reinterpret_cast<const std::uint8_t*>(list.data()), static_cast<unsigned>(list.size()));
}

bool PlainClient::handshake() {
  if (!failure_.empty()) return false;
  const int result = SSL_do_handshake(ssl());
  const int error = SSL_get_error(ssl(), result);
  const std::string reason = drain_errors();
  if (result != 1 && error != SSL_ERROR_WANT_READ) failure_ = reason.empty() ? "closed" : reason;
  return result == 1;
}

void PlainClient::receive(std::string_view ciphertext) {
  BIO_write(SSL_get_rbio(ssl()), ciphertext.data(), static_cast<int>(ciphertext.size()));
}

std::string PlainClient::take_output() {
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  BIO_mem_contents(SSL_get_wbio(ssl()), &data, &length);
  std::string output(reinterpret_cast<const char*>(data), length);
  BIO_reset(SSL_get_wbio(ssl()));
  return output;
}

void PlainClient::send(std::string_view plaintext) {
  SSL_write(ssl(), plaintext.data(), static_cast<int>(plaintext.size()));
  drain_errors();
}

std::string PlainClient::read() {
  std::string all;
  char buffer[4096];
  for (int length; (length = SSL_read(ssl(), buffer, sizeof buffer)) > 0;) all.append(buffer, static_cast<std::size_t>(length));
  drain_errors();
  return all;
}

std::optional<Digest> PlainClient::server_leaf() {
  const STACK_OF(CRYPTO_BUFFER)* chain = SSL_get0_peer_certificates(ssl());
  if (chain == nullptr || sk_CRYPTO_BUFFER_num(chain) == 0) return std::nullopt;
  const CRYPTO_BUFFER* leaf = sk_CRYPTO_BUFFER_value(chain, 0);
  Digest digest{};
  SHA256(CRYPTO_BUFFER_data(leaf), CRYPTO_BUFFER_len(leaf), digest.data());
  return digest;
}

void Heard::take_events(Stream& stream) {
  while (const auto event = stream.next()) {
    if (std::holds_alternative<Established>(*event)) established = true;
    if (const auto* bytes = std::get_if<Plaintext>(&*event)) plaintext += bytes->bytes;
    if (std::holds_alternative<PeerClosed>(*event)) closed = true;
    if (const auto* failure = std::get_if<TlsFailed>(&*event)) failed = *failure;
  }
}

namespace {

void carry(const std::string& bytes, Stream& to, Heard& heard, std::size_t octets_max) {
  for (std::size_t at = 0; at < bytes.size();) {
    const auto length = std::min(octets_max, bytes.size() - at);
    to.receive(std::string_view(bytes).substr(at, length));
    heard.take_events(to);
    at += length;
  }
}

}  // namespace

void pump(PlainClient& client, Stream& server, Heard& heard, std::size_t octets_max) {
  for (bool moved = true; moved;) {
    client.handshake();
    const std::string to_server = client.take_output();
    carry(to_server, server, heard, octets_max);
    const std::string to_client = server.take_output();
    client.receive(to_client);
    moved = !to_server.empty() || !to_client.empty();
  }
}

void pump(Stream& client, Heard& client_heard, Stream& server, Heard& server_heard, std::size_t octets_max) {
  for (bool moved = true; moved;) {
    const std::string to_server = client.take_output();
    carry(to_server, server, server_heard, octets_max);
    const std::string to_client = server.take_output();
    carry(to_client, client, client_heard, octets_max);
    moved = !to_server.empty() || !to_client.empty();
  }
}

}  // namespace postern::test
