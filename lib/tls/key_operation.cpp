#include "tls/key_operation.h"

#include "tls/compat.h"
#include "tls/errors.h"

namespace postern::tls {

namespace {

const std::uint8_t* octets(const std::string& text) { return reinterpret_cast<const std::uint8_t*>(text.data()); }
std::uint8_t* octets(std::string& text) { return reinterpret_cast<std::uint8_t*>(text.data()); }

bool sign(const KeyOperation& operation, std::string& signature) {
  EVP_PKEY* const key = operation.credential->key.get();
  bssl::ScopedEVP_MD_CTX context;
  EVP_PKEY_CTX* parameters = nullptr;
  if (SSL_get_signature_algorithm_key_type(operation.scheme) != EVP_PKEY_id(key) ||
      !EVP_DigestSignInit(context.get(), &parameters, SSL_get_signature_algorithm_digest(operation.scheme), nullptr, key)) {
    return false;
  }
  constexpr int salt_as_long_as_digest = -1;
  if (SSL_is_signature_algorithm_rsa_pss(operation.scheme) &&
      (!EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) ||
       !EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, salt_as_long_as_digest))) {
    return false;
  }
  std::size_t length = static_cast<std::size_t>(EVP_PKEY_size(key));
  signature.resize(length);
  if (!EVP_DigestSign(context.get(), octets(signature), &length, octets(operation.input), operation.input.size())) {
    return false;
  }
  signature.resize(length);
  return true;
}

bool decrypt(const KeyOperation& operation, std::string& block) {
  RSA* const rsa = EVP_PKEY_get0_RSA(operation.credential->key.get());
  if (rsa == nullptr) return false;
  std::size_t length = RSA_size(rsa);
  block.resize(length);
  if (!RSA_decrypt(rsa, &length, octets(block), block.size(), octets(operation.input), operation.input.size(),
                   RSA_NO_PADDING)) {
    return false;
  }
  block.resize(length);
  return true;
}

}  // namespace

Result<std::string> perform(const KeyOperation& operation) {
  if (operation.credential->key.get() == nullptr) {
    return fail("{}: the private key cannot be decoded", operation.credential->source);
  }
  std::string outcome;
  const bool done =
      operation.kind == KeyOperation::Kind::Sign ? sign(operation, outcome) : decrypt(operation, outcome);
  const std::string reason = drain_errors();
  if (done) return outcome;
  return fail("{}: the private key cannot be used for this handshake: {}", operation.credential->source,
              reason.empty() ? "wrong kind of key" : reason);
}

}  // namespace postern::tls
