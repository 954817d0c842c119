// A public key as TLSA records with selector 1 see it: its SubjectPublicKeyInfo, DER (RFC 6698 section 2.1.2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tls/compat.h"

namespace postern::tls {

/// Nothing when it is no X.509 certificate.
std::optional<std::string> public_key_info(const CRYPTO_BUFFER* certificate);
std::optional<std::string> public_key_info_of_der(std::string_view certificate_der);

/// Of what a PEM file holds first: a certificate, a public key or a private key. `source` names it in errors.
Result<std::string> public_key_info_of_pem(std::string_view pem, std::string_view source);

}  // namespace postern::tls
