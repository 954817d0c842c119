// A private key as it stands in a file, and decoded: which costs 40 us for P-256 and three times as much for RSA, so that
// somebody with many certificates does it when one is used first.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tls/compat.h"

namespace postern::tls {

enum class KeyKind : std::uint8_t { EcdsaP256, EcdsaP384, EcdsaP521, Rsa, Ed25519 };
std::string_view to_string(KeyKind kind);

/// Nothing for a kind that is not served.
std::optional<KeyKind> kind_of(const EVP_PKEY* key);
constexpr std::string_view served_keys = "postern serves EC keys on P-256, P-384 and P-521, RSA and Ed25519";

/// Not decoded, and not checked in any way. Wiped when it goes.
struct EncodedKey {
  enum class Form : std::uint8_t {
    Pkcs8,  ///< RFC 5958
    Pkcs1,  ///< RFC 8017 appendix A.1.2
    Sec1    ///< RFC 5915
  };
  EncodedKey() = default;
  EncodedKey(EncodedKey&&) noexcept = default;
  EncodedKey& operator=(EncodedKey&&) noexcept = default;
  ~EncodedKey();

  Form form = Form::Pkcs8;
  std::string der;
  std::size_t line = 0;  ///< of its PEM block in the file
};

/// The first private key block of PEM text. An encrypted one is refused with an error that says what to do.
Result<EncodedKey> find_key(std::string_view pem, std::string_view source);
/// Whether the encoding has, beside the private key, the public key of a certificate (its subjectPublicKeyInfo, DER, of a
/// key of this kind). False where it has another or, as RFC 5915 and RFC 8410 allow, none. That its two halves fit each
/// other is only known once it is decoded.
bool claims_public_key(const EncodedKey& key, KeyKind kind, std::string_view key_info);
/// A key of a kind that is served.
Result<bssl::UniquePtr<EVP_PKEY>> decode_key(const EncodedKey& key, std::string_view source);

/// The key of a credential. May be used by several threads, once it has its place.
class PrivateKey {
 public:
  PrivateKey() = default;  ///< none
  explicit PrivateKey(bssl::UniquePtr<EVP_PKEY> decoded) : decoded_(decoded.release()) {}
  /// To be decoded at its first use. The caller knows that these octets are a key that fits, or has to believe it until
  /// can_be_decoded() was asked.
  explicit PrivateKey(EncodedKey encoded) : encoded_(std::move(encoded)) {}
  PrivateKey(PrivateKey&& other) noexcept;
  PrivateKey& operator=(PrivateKey&& other) noexcept;
  ~PrivateKey();

  explicit operator bool() const { return is_decoded() || !encoded_.der.empty(); }
  bool is_decoded() const { return decoded_.load(std::memory_order_acquire) != nullptr; }
  /// What get() would make of it now; without keeping it, for it may not be used for a long time.
  bool can_be_decoded() const;
  /// Decodes it when called first. Null when there is none, or it cannot be decoded.
  EVP_PKEY* get() const noexcept;

 private:
  mutable std::atomic<EVP_PKEY*> decoded_{nullptr};
  EncodedKey encoded_;
};

}  // namespace postern::tls
