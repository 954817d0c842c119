#include "tls/context.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "tls/connection.h"
#include "tls/errors.h"
#include "tls/peer_check.h"

namespace postern::tls {

namespace {

constexpr std::array<std::string_view, 2> smtp_protocols{"smtp", "esmtp"};
constexpr std::array<std::string_view, 2> https_protocols{"http/1.1", "http/1.0"};

/// Protocols whose clients would take our answers for their own server's (ALPACA: cross-protocol attacks).
constexpr std::array<std::string_view, 26> known_protocols{
    "h2",      "h2c",      "h3",         "http/1.1", "http/1.0",    "http/0.9",    "spdy/1",    "spdy/2", "spdy/3",
    "imap",    "pop3",     "smtp",       "esmtp",    "managesieve", "ftp",         "nntp",      "nnrp",   "irc",
    "mqtt",    "dot",      "acme-tls/1", "sip/2",    "xmpp-client", "xmpp-server", "postgresql", "stun.turn"};

template <std::size_t N>
bool contains(const std::array<std::string_view, N>& list, std::string_view protocol) {
  return std::find(list.begin(), list.end(), protocol) != list.end();
}

/// DESIGN section 7: takes the client's first protocol that is ours, ignores a list with anything unknown in it, and
/// refuses one made only of known foreign protocols.
template <std::size_t N>
int select_protocol(const std::array<std::string_view, N>& ours, SSL* ssl, const std::uint8_t** out,
                    std::uint8_t* out_length, CBS offered) {
  bool only_foreign = true;
  CBS protocol;
  while (CBS_get_u8_length_prefixed(&offered, &protocol) != 0) {
    const std::string_view name(reinterpret_cast<const char*>(CBS_data(&protocol)), CBS_len(&protocol));
    if (contains(ours, name)) {
      *out = CBS_data(&protocol);
      *out_length = static_cast<std::uint8_t>(CBS_len(&protocol));
      return SSL_TLSEXT_ERR_OK;
    }
    only_foreign &= contains(known_protocols, name);
  }
  if (!only_foreign) return SSL_TLSEXT_ERR_NOACK;
  connection_of(ssl).refusal = "the client speaks only other protocols (ALPN)";
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

int select_smtp(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_length, const std::uint8_t* in,
                unsigned in_length, void* /*unused*/) noexcept {
  CBS offered;
  CBS_init(&offered, in, in_length);
  return select_protocol(smtp_protocols, ssl, out, out_length, offered);
}

int select_https(SSL* ssl, const std::uint8_t** out, std::uint8_t* out_length, const std::uint8_t* in,
                 unsigned in_length, void* /*unused*/) noexcept {
  CBS offered;
  CBS_init(&offered, in, in_length);
  return select_protocol(https_protocols, ssl, out, out_length, offered);
}

ssl_private_key_result_t hand_out(SSL* ssl, KeyOperation operation) {
  Connection& connection = connection_of(ssl);
  operation.credential = connection.server ? connection.server->choice.credential
                                           : connection.client->context->credential();
  connection.key_use = std::make_unique<KeyUse>(KeyUse{std::move(operation), std::nullopt});
  return ssl_private_key_retry;
}

ssl_private_key_result_t sign_outside(SSL* ssl, std::uint8_t* /*out*/, std::size_t* /*out_length*/,
                                      std::size_t /*out_max*/, std::uint16_t scheme, const std::uint8_t* in,
                                      std::size_t in_length) noexcept {
  return hand_out(ssl, {KeyOperation::Kind::Sign, scheme, {reinterpret_cast<const char*>(in), in_length}, nullptr});
}

ssl_private_key_result_t decrypt_outside(SSL* ssl, std::uint8_t* /*out*/, std::size_t* /*out_length*/,
                                         std::size_t /*out_max*/, const std::uint8_t* in,
                                         std::size_t in_length) noexcept {
  return hand_out(ssl, {KeyOperation::Kind::Decrypt, 0, {reinterpret_cast<const char*>(in), in_length}, nullptr});
}

ssl_private_key_result_t complete_outside(SSL* ssl, std::uint8_t* out, std::size_t* out_length,
                                          std::size_t out_max) noexcept {
  const auto& use = connection_of(ssl).key_use;
  if (!use || !use->outcome) return ssl_private_key_retry;
  const std::string& outcome = *use->outcome;
  if (outcome.empty() || outcome.size() > out_max) return ssl_private_key_failure;
  std::copy(outcome.begin(), outcome.end(), out);
  *out_length = outcome.size();
  return ssl_private_key_success;
}

constexpr SSL_PRIVATE_KEY_METHOD outside_method{sign_outside, decrypt_outside, complete_outside};

bool apply_staple(SSL* ssl, const Credential& credential, WallTime now) {
  if (!credential.staple || !credential.staple->is_fresh(now)) return true;
  const std::string& der = credential.staple->der;
  return SSL_set_ocsp_response(ssl, reinterpret_cast<const std::uint8_t*>(der.data()), der.size()) == 1;
}

/// As BoringSSL wants it: leaf first, borrowed.
std::vector<CRYPTO_BUFFER*> chain_of(const Credential& credential) {
  std::vector<CRYPTO_BUFFER*> chain;
  chain.reserve(credential.chain.size());
  for (const auto& certificate : credential.chain) chain.push_back(certificate.get());
  return chain;
}

bool apply(SSL* ssl, const Connection& connection) {
  const Choice& choice = connection.server->choice;
  const Credential& credential = *choice.credential;
  const auto chain = chain_of(credential);
  const bool outside = credential.leaf.key_kind == KeyKind::Rsa &&
                       connection.context->settings().rsa_keys == RsaKeys::Outside;
  return SSL_set_chain_and_key(ssl, chain.data(), chain.size(), outside ? nullptr : credential.key.get(),
                               outside ? &outside_method : nullptr) == 1 &&
         apply_staple(ssl, credential, connection.server->now) &&
         // A ticket is good only for the identity that it was issued under.
         SSL_set_session_id_context(ssl, choice.identity.data(), choice.identity.size()) == 1;
}

/// The early callback: runs before BoringSSL looks for a session to resume.
ssl_select_cert_result_t select_certificate(const SSL_CLIENT_HELLO* client_hello) noexcept {
  Connection& connection = connection_of(client_hello->ssl);
  ServerHandshake& handshake = *connection.server;
  if (!handshake.hello) {  // an SSL 2.0 ClientHello: the reader does not know it, BoringSSL has translated it
    handshake.hello = parse_client_hello(
        {reinterpret_cast<const char*>(client_hello->client_hello), client_hello->client_hello_len});
  }
  if (!handshake.hello) {
    connection.refusal = "the ClientHello cannot be read";
    return ssl_select_cert_error;
  }
  // Called again once a deferred credential has come, which stands in the choice then.
  if (!handshake.wants_credential) handshake.choice = handshake.source->choose(*handshake.hello);
  handshake.wants_credential = false;
  if (!handshake.choice.credential) {
    connection.refusal = handshake.credential_failure.empty()
                             ? "there is no certificate to serve, neither for the name asked for nor a default"
                             : handshake.credential_failure;
    return ssl_select_cert_error;
  }
  if (handshake.choice.credential->deferred) {
    handshake.wants_credential = true;
    return ssl_select_cert_retry;
  }
  if (apply(client_hello->ssl, connection)) return ssl_select_cert_success;
  connection.refusal = handshake.choice.credential->source + ": the certificate and its key cannot be used";
  return ssl_select_cert_error;
}

int acknowledge_server_name(SSL* ssl, int* /*alert*/, void* /*unused*/) noexcept {
  const Choice& choice = connection_of(ssl).server->choice;
  return choice.match == Match::Default ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

/// Prepares to seal or to open a ticket. The values returned are BoringSSL's: 0 for a ticket that is to be ignored, 2 for
/// one that is good but to be replaced.
int use_ticket_key(SSL* ssl, std::uint8_t* name, std::uint8_t* iv, EVP_CIPHER_CTX* cipher, HMAC_CTX* hmac,
                   int sealing) noexcept {
  const auto keys = connection_of(ssl).context->ticket_keys()->current();
  const TicketKey* key = &keys->sealing();
  if (sealing == 1) {
    std::copy(key->name.begin(), key->name.end(), name);
    RAND_bytes(iv, EVP_CIPHER_iv_length(EVP_aes_256_cbc()));
  } else {
    key = keys->find({reinterpret_cast<const char*>(name), key->name.size()});
    if (key == nullptr) return 0;
  }
  if (!EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->aes.data(), iv, sealing) ||
      !HMAC_Init_ex(hmac, key->hmac.data(), key->hmac.size(), EVP_sha256(), nullptr)) {
    return -1;
  }
  return keys->is_outdated(*key) ? 2 : 1;
}

/// Notes alerts. Their value is the level in the upper octet and the number in the lower.
void note_alert(const SSL* ssl, int type, int value) noexcept {
  const bool fatal = value >> 8 == SSL3_AL_FATAL;
  if (!fatal) return;
  Connection& connection = connection_of(ssl);
  if (type == SSL_CB_READ_ALERT) connection.alert_received = value & 0xff;
  if (type == SSL_CB_WRITE_ALERT) connection.alert_sent = value & 0xff;
}

ssl_verify_result_t verify_peer(SSL* ssl, std::uint8_t* out_alert) noexcept {
  Connection& connection = connection_of(ssl);
  const ClientHandshake& handshake = *connection.client;
  X509_STORE* const roots = handshake.context->roots();
  if (roots == nullptr) return ssl_verify_ok;
  auto fault = check_peer(*roots, SSL_get0_peer_certificates(ssl), handshake.name);
  if (!fault) return ssl_verify_ok;
  connection.refusal = std::move(fault->reason);
  *out_alert = fault->alert;
  return ssl_verify_invalid;
}

/// TLS_with_buffers_method() keeps X509 objects out of handshakes. Groups are in our order, but a client's own order
/// decides: overruling it would cost it a round trip (HelloRetryRequest).
bssl::UniquePtr<SSL_CTX> make_context(Version min_version) {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_with_buffers_method()));
  if (!context || !SSL_CTX_set_min_proto_version(context.get(), static_cast<std::uint16_t>(min_version)) ||
      !SSL_CTX_set_max_proto_version(context.get(), TLS1_3_VERSION) ||
      !SSL_CTX_set1_curves_list(context.get(), preferred_groups)) {
    return nullptr;
  }
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_info_callback(context.get(), note_alert);
  return context;
}

}  // namespace

Result<std::shared_ptr<const ServerContext>> ServerContext::make(const TlsSettings& settings, Application application,
                                                                 std::shared_ptr<const TicketKeyring> ticket_keys) {
  auto made = std::make_shared<ServerContext>();
  made->settings_ = settings;
  made->ticket_keys_ = std::move(ticket_keys);
  made->context_ = make_context(settings.min_version);
  if (!made->context_) return fail("the TLS context cannot be made: {}", drain_errors());
  SSL_CTX* const context = made->get();
  if (settings.tickets == 0) SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, settings.tickets);
  const auto lifetime = static_cast<std::uint32_t>(settings.ticket_lifetime.count());
  SSL_CTX_set_timeout(context, lifetime);
  SSL_CTX_set_session_psk_dhe_timeout(context, lifetime);
  if (made->ticket_keys_) SSL_CTX_set_tlsext_ticket_key_cb(context, use_ticket_key);
  SSL_CTX_set_select_certificate_cb(context, select_certificate);
  SSL_CTX_set_tlsext_servername_callback(context, acknowledge_server_name);
  SSL_CTX_set_alpn_select_cb(context, application == Application::Smtp ? select_smtp : select_https, nullptr);
  return made;
}

Result<std::shared_ptr<const ClientContext>> ClientContext::make(const PeerCheck& check) {
  auto made = std::make_shared<ClientContext>();
  if (check.mode == PeerCheck::Mode::Roots) {
    auto roots = make_trust_store(check.roots_pem);
    if (!roots) return fail_with(roots.error());
    made->roots_ = std::move(*roots);
  }
  made->context_ = make_context(Version::Tls12);
  if (!made->context_) return fail("the TLS context cannot be made: {}", drain_errors());
  SSL_CTX_set_custom_verify(made->get(), SSL_VERIFY_PEER, verify_peer);
  made->credential_ = check.credential;
  if (made->credential_) {
    const auto chain = chain_of(*made->credential_);
    const bool outside = made->credential_->leaf.key_kind == KeyKind::Rsa && check.rsa_keys == RsaKeys::Outside;
    if (!SSL_CTX_set_chain_and_key(made->get(), chain.data(), chain.size(),
                                   outside ? nullptr : made->credential_->key.get(),
                                   outside ? &outside_method : nullptr)) {
      return fail("{}: cannot be used as a client certificate: {}", made->credential_->source, drain_errors());
    }
  }
  return made;
}

}  // namespace postern::tls
