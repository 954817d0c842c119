// A certification authority in memory: makes the certificates and keys that tests need, as PEM texts.
//
//   test::TestCa ca;
//   const auto leaf = ca.issue({.names = {"mx.example.com", "*.example.net"}});
//   auto credential = leaf.credential();
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "tls/credential.h"

namespace postern::test {

/// 2026-01-01, the middle of every default validity.
WallTime test_now();

/// A private key; the same one can be used for several certificates (RSA keys take a while to make).
class TestKey {
 public:
  explicit TestKey(tls::KeyKind kind = tls::KeyKind::EcdsaP256, unsigned rsa_bits = 2048);
  EVP_PKEY* get() const { return key_.get(); }
  std::string pem() const;        ///< PKCS#8
  std::string sec1_pem() const;   ///< `EC PRIVATE KEY`; EC only
  std::string pkcs1_pem() const;  ///< `RSA PRIVATE KEY`; RSA only
  /// PKCS#8, as no program writes it: this private key beside the public key of the other one. EC only.
  std::string pem_beside(const TestKey& other) const;
  std::string encrypted_pem() const;  ///< `ENCRYPTED PRIVATE KEY`, PKCS#8

 private:
  std::shared_ptr<EVP_PKEY> key_;
};

struct LeafRequest {
  std::vector<std::string> names;        ///< dNSName SANs, as they are; none: no subjectAltName extension
  std::string common_name = "";          ///< none: the first name
  tls::KeyKind kind = tls::KeyKind::EcdsaP256;
  std::optional<TestKey> key = {};       ///< none: a new one of `kind`
  WallTime not_before = test_now() - std::chrono::days(365 * 5);
  WallTime not_after = test_now() + std::chrono::days(365 * 20);
};

struct Issued {
  std::string certificate_pem;  ///< the leaf alone
  std::string issuers_pem;      ///< the CA certificates above it, without the root; may be empty
  std::string root_pem;
  std::string key_pem;          ///< PKCS#8

  std::string chain_pem() const { return certificate_pem + issuers_pem; }
  std::string combined_pem() const { return key_pem + chain_pem(); }
  /// What make_credential() makes of it; throws when it cannot.
  std::shared_ptr<const tls::Credential> credential() const;
};

class TestCa {
 public:
  explicit TestCa(const std::string& common_name = "Test Root");
  /// A CA under this one.
  TestCa intermediate(const std::string& common_name) const;

  Issued issue(const LeafRequest& request) const;

  const std::string& certificate_pem() const { return certificate_pem_; }
  const std::string& root_pem() const { return root_pem_; }

 private:
  TestCa(const std::string& common_name, const TestCa* parent);

  std::string common_name_;
  TestKey key_;
  std::string certificate_pem_;
  std::string issuers_pem_;
  std::string root_pem_;
};

/// A certificate signed by its own key.
Issued self_signed(const LeafRequest& request);

}  // namespace postern::test
