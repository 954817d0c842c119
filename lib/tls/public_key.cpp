#include "tls/public_key.h"

#include "tls/certificate_der.h"
#include "tls/errors.h"
#include "tls/pem.h"
#include "tls/private_key.h"

namespace postern::tls {

namespace {

Result<std::string> public_key_info_of_private(std::string_view pem, std::string_view source) {
  const auto encoded = find_key(pem, source);
  if (!encoded) return fail_with(encoded.error());
  const auto key = decode_key(*encoded, source);
  if (!key) return fail_with(key.error());
  bssl::ScopedCBB cbb;
  std::uint8_t* der = nullptr;
  std::size_t size = 0;
  if (!CBB_init(cbb.get(), 128) || !EVP_marshal_public_key(cbb.get(), key->get()) || !CBB_finish(cbb.get(), &der, &size)) {
    return fail("{}: {}", source, drain_errors());
  }
  const bssl::UniquePtr<std::uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), size);
}

}  // namespace

std::optional<std::string> public_key_info(const CRYPTO_BUFFER* certificate) {
  const auto parts = parts_of(certificate);
  return parts ? std::optional(std::string(parts->key_info)) : std::nullopt;
}

std::optional<std::string> public_key_info_of_der(std::string_view certificate_der) {
  const bssl::UniquePtr<CRYPTO_BUFFER> buffer(CRYPTO_BUFFER_new(
      reinterpret_cast<const std::uint8_t*>(certificate_der.data()), certificate_der.size(), nullptr));
  return public_key_info(buffer.get());
}

Result<std::string> public_key_info_of_pem(std::string_view pem, std::string_view source) {
  const auto blocks = read_pem(pem, source);
  if (!blocks) return fail_with(blocks.error());
  for (const PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE" && block.label != "PUBLIC KEY") continue;
    auto der = decode_pem(block, source);
    if (!der) return fail_with(der.error());
    if (block.label == "PUBLIC KEY") return der;
    auto info = public_key_info_of_der(*der);
    if (!info) return fail("{}:{}: the certificate cannot be read", source, block.line);
    return std::move(*info);
  }
  return public_key_info_of_private(pem, source);
}

}  // namespace postern::tls
