#include "tls/private_key.h"

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "tls/errors.h"
#include "tls/pem.h"

namespace postern::tls {

namespace {

bssl::UniquePtr<EVP_PKEY> parse_key(const EncodedKey& encoded) {
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const std::uint8_t*>(encoded.der.data()), encoded.der.size());
  bssl::UniquePtr<EVP_PKEY> key;
  if (encoded.form == EncodedKey::Form::Pkcs8) {
    key.reset(EVP_parse_private_key(&cbs));
  } else if (encoded.form == EncodedKey::Form::Pkcs1) {
    bssl::UniquePtr<RSA> rsa(RSA_parse_private_key(&cbs));
    key.reset(EVP_PKEY_new());
    if (!rsa || !EVP_PKEY_set1_RSA(key.get(), rsa.get())) return nullptr;
  } else {
    bssl::UniquePtr<EC_KEY> ec(EC_KEY_parse_private_key(&cbs, nullptr));
    key.reset(EVP_PKEY_new());
    if (!ec || !EVP_PKEY_set1_EC_KEY(key.get(), ec.get())) return nullptr;
  }
  return CBS_len(&cbs) == 0 ? std::move(key) : nullptr;
}

bool equal(const CBS& a, const CBS& b) { return CBS_mem_equal(&a, CBS_data(&b), CBS_len(&b)) == 1; }

/// ECPrivateKey (RFC 5915 section 3). In a PKCS#8 key the curve stands outside of it.
bool ec_key_claims(CBS der, const CBS* curve, const CBS& point) {
  CBS key, parameters, whole, bits;
  int has_parameters = 0;
  int has_public_key = 0;
  std::uint8_t unused_bits = 0;
  return CBS_get_asn1(&der, &key, CBS_ASN1_SEQUENCE) && CBS_get_asn1(&key, nullptr, CBS_ASN1_INTEGER) &&
         CBS_get_asn1(&key, nullptr, CBS_ASN1_OCTETSTRING) &&
         CBS_get_optional_asn1(&key, &parameters, &has_parameters, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) &&
         CBS_get_optional_asn1(&key, &whole, &has_public_key, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 1) &&
         has_public_key == 1 && CBS_get_asn1(&whole, &bits, CBS_ASN1_BITSTRING) && CBS_get_u8(&bits, &unused_bits) &&
         (curve == nullptr || (has_parameters == 1 && equal(parameters, *curve))) && equal(bits, point);
}

/// RSAPrivateKey and RSAPublicKey (RFC 8017 appendix A.1): modulus and public exponent stand side by side in both.
bool rsa_key_claims(CBS der, CBS public_key) {
  CBS key, numbers;
  if (!CBS_get_asn1(&der, &key, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&key, nullptr, CBS_ASN1_INTEGER) ||
      !CBS_get_asn1(&public_key, &numbers, CBS_ASN1_SEQUENCE) || CBS_len(&key) < CBS_len(&numbers)) {
    return false;
  }
  return CBS_mem_equal(&numbers, CBS_data(&key), CBS_len(&numbers)) == 1;
}

std::optional<EncodedKey::Form> form_of(std::string_view label) {
  if (label == "PRIVATE KEY") return EncodedKey::Form::Pkcs8;
  if (label == "RSA PRIVATE KEY") return EncodedKey::Form::Pkcs1;
  if (label == "EC PRIVATE KEY") return EncodedKey::Form::Sec1;
  return std::nullopt;
}

}  // namespace

std::string_view to_string(KeyKind kind) {
  switch (kind) {
    case KeyKind::EcdsaP256: return "ECDSA P-256";
    case KeyKind::EcdsaP384: return "ECDSA P-384";
    case KeyKind::EcdsaP521: return "ECDSA P-521";
    case KeyKind::Rsa: return "RSA";
    case KeyKind::Ed25519: return "Ed25519";
  }
  return "unknown";
}

std::optional<KeyKind> kind_of(const EVP_PKEY* key) {
  switch (EVP_PKEY_id(key)) {
    case EVP_PKEY_RSA: return KeyKind::Rsa;
    case EVP_PKEY_ED25519: return KeyKind::Ed25519;
    case EVP_PKEY_EC: break;
    default: return std::nullopt;
  }
  switch (EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key)))) {
    case NID_X9_62_prime256v1: return KeyKind::EcdsaP256;
    case NID_secp384r1: return KeyKind::EcdsaP384;
    case NID_secp521r1: return KeyKind::EcdsaP521;
    default: return std::nullopt;
  }
}

EncodedKey::~EncodedKey() { OPENSSL_cleanse(der.data(), der.size()); }

Result<EncodedKey> find_key(std::string_view pem, std::string_view source) {
  const auto blocks = read_pem(pem, source);
  if (!blocks) return fail_with(blocks.error());
  const auto block = std::find_if(blocks->begin(), blocks->end(),
                                  [](const PemBlock& candidate) { return candidate.label.ends_with("PRIVATE KEY"); });
  if (block == blocks->end()) return fail("{}: holds no private key", source);
  if (block->encrypted || block->label == "ENCRYPTED PRIVATE KEY") {
    return fail("{0}: the private key is encrypted: decrypt it with `openssl pkey -in {0} -out FILE`", source);
  }
  const auto form = form_of(block->label);
  if (!form) {
    return fail("{}:{}: a {} is of no use here: {}", source, block->line, escaped(block->label, 40), served_keys);
  }
  auto der = decode_pem(*block, source);
  if (!der) return fail_with(der.error());
  EncodedKey key;
  key.form = *form;
  key.der = std::move(*der);
  key.line = block->line;
  return key;
}

bool claims_public_key(const EncodedKey& encoded, KeyKind kind, std::string_view key_info) {
  if (kind == KeyKind::Ed25519) return false;
  CBS info, whole, algorithm, bits, type;
  std::uint8_t unused_bits = 0;
  CBS_init(&info, reinterpret_cast<const std::uint8_t*>(key_info.data()), key_info.size());
  if (!CBS_get_asn1(&info, &whole, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&whole, &algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&whole, &bits, CBS_ASN1_BITSTRING) || !CBS_get_u8(&bits, &unused_bits)) {
    return false;
  }
  CBS der;
  CBS_init(&der, reinterpret_cast<const std::uint8_t*>(encoded.der.data()), encoded.der.size());
  if (encoded.form == EncodedKey::Form::Pkcs8) {
    CBS key, own_algorithm, inner;
    return CBS_get_asn1(&der, &key, CBS_ASN1_SEQUENCE) && CBS_get_asn1(&key, nullptr, CBS_ASN1_INTEGER) &&
           CBS_get_asn1(&key, &own_algorithm, CBS_ASN1_SEQUENCE) && equal(own_algorithm, algorithm) &&
           CBS_get_asn1(&key, &inner, CBS_ASN1_OCTETSTRING) &&
           (kind == KeyKind::Rsa ? rsa_key_claims(inner, bits) : ec_key_claims(inner, nullptr, bits));
  }
  if (encoded.form == EncodedKey::Form::Pkcs1) return kind == KeyKind::Rsa && rsa_key_claims(der, bits);
  return kind != KeyKind::Rsa && CBS_get_asn1(&algorithm, &type, CBS_ASN1_OBJECT) && ec_key_claims(der, &algorithm, bits);
}

Result<bssl::UniquePtr<EVP_PKEY>> decode_key(const EncodedKey& encoded, std::string_view source) {
  auto key = parse_key(encoded);
  const auto reason = drain_errors();
  if (!key || !kind_of(key.get())) {
    return fail("{}:{}: the private key cannot be used{}{}: {}", source, encoded.line, reason.empty() ? "" : ": ",
                reason, served_keys);
  }
  return key;
}

PrivateKey::PrivateKey(PrivateKey&& other) noexcept
    : decoded_(other.decoded_.exchange(nullptr)), encoded_(std::move(other.encoded_)) {}

PrivateKey& PrivateKey::operator=(PrivateKey&& other) noexcept {
  const bssl::UniquePtr<EVP_PKEY> before(decoded_.exchange(other.decoded_.exchange(nullptr)));
  encoded_ = std::move(other.encoded_);
  return *this;
}

PrivateKey::~PrivateKey() { const bssl::UniquePtr<EVP_PKEY> decoded(decoded_.load()); }

bool PrivateKey::can_be_decoded() const {
  if (is_decoded()) return true;
  const auto made = encoded_.der.empty() ? nullptr : parse_key(encoded_);
  drain_errors();
  return made && kind_of(made.get());
}

/// Two threads may decode it at the same time: one of them gives its own away. Nobody waits.
EVP_PKEY* PrivateKey::get() const noexcept {
  if (EVP_PKEY* const known = decoded_.load(std::memory_order_acquire)) return known;
  if (encoded_.der.empty()) return nullptr;
  auto made = parse_key(encoded_);
  drain_errors();
  if (!made) return nullptr;
  EVP_PKEY* first = nullptr;
  if (!decoded_.compare_exchange_strong(first, made.get(), std::memory_order_acq_rel)) return first;
  return made.release();
}

}  // namespace postern::tls
