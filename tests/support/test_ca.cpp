#include "tests/support/test_ca.h"

#include <openssl/pem.h>
#include <openssl/pkcs8.h>

#include <atomic>
#include <stdexcept>

namespace postern::test {

namespace {

void require(bool held, const char* what) {
  if (!held) throw std::runtime_error(std::string("test CA: ") + what);
}

template <class Write>
std::string to_pem(Write write) {
  const bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  require(write(bio.get()) == 1, "PEM cannot be written");
  const std::uint8_t* data = nullptr;
  std::size_t length = 0;
  require(BIO_mem_contents(bio.get(), &data, &length) == 1, "no PEM");
  return std::string(reinterpret_cast<const char*>(data), length);
}

EVP_PKEY* new_ec_key(int curve) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve));
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  require(ec && EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()), "no EC key");
  return key.release();
}

EVP_PKEY* new_rsa_key(unsigned bits) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  require(BN_set_word(exponent.get(), RSA_F4) &&
              RSA_generate_key_ex(rsa.get(), static_cast<int>(bits), exponent.get(), nullptr) &&
              EVP_PKEY_set1_RSA(key.get(), rsa.get()),
          "no RSA key");
  return key.release();
}

EVP_PKEY* new_ed25519_key() {
  EVP_PKEY* raw = nullptr;
  const bssl::UniquePtr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, nullptr));
  require(EVP_PKEY_keygen_init(context.get()) && EVP_PKEY_keygen(context.get(), &raw), "no Ed25519 key");
  return raw;
}

EVP_PKEY* new_key(tls::KeyKind kind, unsigned rsa_bits) {
  switch (kind) {
    case tls::KeyKind::EcdsaP256: return new_ec_key(NID_X9_62_prime256v1);
    case tls::KeyKind::EcdsaP384: return new_ec_key(NID_secp384r1);
    case tls::KeyKind::EcdsaP521: return new_ec_key(NID_secp521r1);
    case tls::KeyKind::Rsa: return new_rsa_key(rsa_bits);
    case tls::KeyKind::Ed25519: return new_ed25519_key();
  }
  throw std::runtime_error("test CA: unknown kind of key");
}

bssl::UniquePtr<X509_NAME> distinguished_name(const std::string& common_name) {
  bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
  require(X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const std::uint8_t*>(common_name.data()),
                                     static_cast<int>(common_name.size()), -1, 0) == 1,
          "no name");
  return name;
}

void add_alternative_names(X509* certificate, const std::vector<std::string>& names) {
  const bssl::UniquePtr<GENERAL_NAMES> list(sk_GENERAL_NAME_new_null());
  for (const std::string& name : names) {
    bssl::UniquePtr<GENERAL_NAME> entry(GENERAL_NAME_new());
    entry->type = GEN_DNS;
    entry->d.dNSName = ASN1_IA5STRING_new();
    require(ASN1_STRING_set(entry->d.dNSName, name.data(), static_cast<int>(name.size())) == 1, "no SAN");
    require(sk_GENERAL_NAME_push(list.get(), entry.release()) != 0, "no SAN");
  }
  require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, list.get(), 0, X509V3_ADD_DEFAULT) == 1, "no SAN");
}

enum class Role { Authority, Leaf };

struct Request {
  Role role = Role::Leaf;
  std::string subject;
  std::string issuer;
  std::vector<std::string> names;
  WallTime not_before{};
  WallTime not_after{};
};

std::string sign(const Request& request, const TestKey& subject_key, const TestKey& issuer_key) {
  static std::atomic<long> last_serial{1000};
  const bssl::UniquePtr<X509> certificate(X509_new());
  X509* const x509 = certificate.get();
  const auto seconds = [](WallTime time) { return static_cast<std::time_t>(time.time_since_epoch().count()); };
  require(X509_set_version(x509, X509_VERSION_3) && ASN1_INTEGER_set(X509_get_serialNumber(x509), ++last_serial) &&
              X509_set_subject_name(x509, distinguished_name(request.subject).get()) &&
              X509_set_issuer_name(x509, distinguished_name(request.issuer).get()) &&
              ASN1_TIME_set(X509_getm_notBefore(x509), seconds(request.not_before)) != nullptr &&
              ASN1_TIME_set(X509_getm_notAfter(x509), seconds(request.not_after)) != nullptr &&
              X509_set_pubkey(x509, subject_key.get()),
          "no certificate");
  if (request.role == Role::Authority) {
    const bssl::UniquePtr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
    constraints->ca = 0xff;
    require(X509_add1_ext_i2d(x509, NID_basic_constraints, constraints.get(), 1, X509V3_ADD_DEFAULT) == 1,
            "no constraints");
  }
  if (!request.names.empty()) add_alternative_names(x509, request.names);
  const EVP_MD* digest = EVP_PKEY_id(issuer_key.get()) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
  require(X509_sign(x509, issuer_key.get(), digest) > 0, "not signed");
  return to_pem([x509](BIO* bio) { return PEM_write_bio_X509(bio, x509); });
}

Request leaf_request(const LeafRequest& request, const std::string& issuer) {
  Request full;
  full.subject = request.common_name.empty() && !request.names.empty() ? request.names.front() : request.common_name;
  full.issuer = issuer.empty() ? full.subject : issuer;
  full.names = request.names;
  full.not_before = request.not_before;
  full.not_after = request.not_after;
  return full;
}

}  // namespace

WallTime test_now() {
  using namespace std::chrono;
  return sys_days(year(2026) / January / 1);
}

TestKey::TestKey(tls::KeyKind kind, unsigned rsa_bits)
    : key_(new_key(kind, rsa_bits), [](EVP_PKEY* key) { EVP_PKEY_free(key); }) {}

std::string TestKey::pem() const {
  return to_pem([this](BIO* bio) { return PEM_write_bio_PKCS8PrivateKey(bio, get(), nullptr, nullptr, 0, nullptr, nullptr); });
}

std::string TestKey::sec1_pem() const {
  return to_pem([this](BIO* bio) {
    return PEM_write_bio_ECPrivateKey(bio, EVP_PKEY_get0_EC_KEY(get()), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string TestKey::pkcs1_pem() const {
  return to_pem([this](BIO* bio) {
    return PEM_write_bio_RSAPrivateKey(bio, EVP_PKEY_get0_RSA(get()), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string TestKey::pem_beside(const TestKey& other) const {
  const EC_KEY* const mine = EVP_PKEY_get0_EC_KEY(get());
  const EC_KEY* const theirs = EVP_PKEY_get0_EC_KEY(other.get());
  const bssl::UniquePtr<EC_KEY> both(EC_KEY_new());
  const bssl::UniquePtr<EVP_PKEY> key(EVP_PKEY_new());
  require(EC_KEY_set_group(both.get(), EC_KEY_get0_group(mine)) && EC_KEY_set_private_key(both.get(), EC_KEY_get0_private_key(mine)) &&
              EC_KEY_set_public_key(both.get(), EC_KEY_get0_public_key(theirs)) && EVP_PKEY_set1_EC_KEY(key.get(), both.get()),
          "no key of two halves");
  return to_pem([&key](BIO* bio) { return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr); });
}

std::string TestKey::encrypted_pem() const {
  static char password[] = "secret";
  return to_pem([this](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, get(), EVP_aes_256_cbc(), password, sizeof password - 1, nullptr,
                                         nullptr);
  });
}

std::shared_ptr<const tls::Credential> Issued::credential() const {
  auto made = tls::make_credential(chain_pem(), "test chain", key_pem, "test key");
  if (!made) throw std::runtime_error(made.error().text);
  return std::move(*made);
}

TestCa::TestCa(const std::string& common_name) : TestCa(common_name, nullptr) {}

TestCa::TestCa(const std::string& common_name, const TestCa* parent) : common_name_(common_name) {
  Request request;
  request.role = Role::Authority;
  request.subject = common_name;
  request.issuer = parent == nullptr ? common_name : parent->common_name_;
  request.not_before = test_now() - std::chrono::days(365 * 10);
  request.not_after = test_now() + std::chrono::days(365 * 23);
  certificate_pem_ = sign(request, key_, parent == nullptr ? key_ : parent->key_);
  if (parent == nullptr) {
    root_pem_ = certificate_pem_;
  } else {
    issuers_pem_ = certificate_pem_ + parent->issuers_pem_;
    root_pem_ = parent->root_pem_;
  }
}

TestCa TestCa::intermediate(const std::string& common_name) const { return TestCa(common_name, this); }

Issued TestCa::issue(const LeafRequest& request) const {
  const TestKey key = request.key ? *request.key : TestKey(request.kind);
  return {.certificate_pem = sign(leaf_request(request, common_name_), key, key_),
          .issuers_pem = issuers_pem_,
          .root_pem = root_pem_,
          .key_pem = key.pem()};
}

Issued self_signed(const LeafRequest& request) {
  const TestKey key = request.key ? *request.key : TestKey(request.kind);
  const std::string certificate = sign(leaf_request(request, ""), key, key);
  return {.certificate_pem = certificate, .issuers_pem = "", .root_pem = certificate, .key_pem = key.pem()};
}

}  // namespace postern::test
