// Invariant: however the octets are cut, the reader comes to the same result, and whenever BoringSSL's early callback is
// reached, the reader has found the same server name that BoringSSL has.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tls/client_hello.h"
#include "tls/compat.h"

namespace {

using postern::tls::ClientHelloReader;

void require(bool held) {
  if (!held) std::abort();
}

ClientHelloReader read_in_pieces(std::string_view input, std::size_t octets) {
  ClientHelloReader reader;
  for (std::size_t at = 0; at < input.size(); at += octets) {
    // A copy of its own, so that the sanitizer sees a read past its end.
    const std::string piece(input.substr(at, octets));
    reader.receive(piece);
  }
  return reader;
}

struct Seen {
  bool called = false;
  bool has_name = false;
  std::string name;
};

SSL_CTX* early_context() {
  static SSL_CTX* const context = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_with_buffers_method());
    SSL_CTX_set_select_certificate_cb(made, [](const SSL_CLIENT_HELLO* hello) {
      auto* seen = static_cast<Seen*>(SSL_get_app_data(hello->ssl));
      const char* name = SSL_get_servername(hello->ssl, TLSEXT_NAMETYPE_host_name);
      seen->called = true;
      seen->has_name = name != nullptr;
      if (name != nullptr) seen->name = name;
      return ssl_select_cert_error;
    });
    return made;
  }();
  return context;
}

Seen ask_boringssl(const std::string& input) {
  Seen seen;
  const bssl::UniquePtr<SSL> ssl(SSL_new(early_context()));
  SSL_set_app_data(ssl.get(), &seen);
  SSL_set_bio(ssl.get(), BIO_new_mem_buf(input.data(), static_cast<int>(input.size())), BIO_new(BIO_s_mem()));
  SSL_set_accept_state(ssl.get());
  SSL_do_handshake(ssl.get());
  ERR_clear_error();
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using State = ClientHelloReader::State;
  using postern::tls::SniKind;
  const std::string input(reinterpret_cast<const char*>(data), size);
  const auto whole = read_in_pieces(input, input.size() + 1);
  const auto bytewise = read_in_pieces(input, 1);
  require(whole.state() == bytewise.state());
  if (whole.state() == State::Complete) require(whole.hello() == bytewise.hello());

  const Seen seen = ask_boringssl(input);
  if (!seen.called) return 0;
  // SSL 2.0 ClientHellos, and warning alerts before the ClientHello: BoringSSL takes them, the reader does not look on.
  if (whole.state() != State::Complete) {
    require(whole.state() == State::NotTls || input[0] == 21 || input.empty());
    return 0;
  }
  require(whole.hello().sni != SniKind::Malformed);
  require((whole.hello().sni != SniKind::Absent) == seen.has_name);
  require(whole.hello().raw_server_name == seen.name);
  return 0;
}
