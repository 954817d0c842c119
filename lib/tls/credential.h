// A certificate chain with its private key, and where a handshake gets one from.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tls/client_hello.h"
#include "tls/compat.h"
#include "tls/leaf_facts.h"
#include "tls/private_key.h"
#include "tls/staple.h"

namespace postern::tls {

/// Leaf first.
using Chain = std::vector<bssl::UniquePtr<CRYPTO_BUFFER>>;

struct Credential;

/// Where the rest of a credential is that was listed without its chain and key (lazy loading).
class Deferred {
 public:
  virtual ~Deferred() = default;
  /// Blocking; from any thread. The whole credential whose facts `listed` has, or that has taken its place since.
  virtual Result<std::shared_ptr<const Credential>> read(const Credential& listed) const = 0;
};

/// Immutable and shared between threads. The chain stands leaf first; buffers of shared intermediates are one object
/// (CRYPTO_BUFFER_POOL).
struct Credential {
  Chain chain;
  PrivateKey key;
  LeafFacts leaf;
  std::string source;  ///< the file it came from, for people
  std::vector<std::string> key_files;  ///< of which one holds the key, if it came from files
  std::optional<Staple> staple;  ///< sent with the leaf as long as it is fresh
  /// Set: only the facts are here, chain and key have to be read before the first use.
  std::shared_ptr<const Deferred> deferred;
  /// What was wrong with the files but could be repaired, one sentence each, for the operator.
  std::vector<std::string> notes;
};

/// A certificate in the pool of the process: equal ones are one object.
bssl::UniquePtr<CRYPTO_BUFFER> pooled_certificate(std::string_view der);

/// How much make_credential() finds out of a private key.
enum class KeyCheck : std::uint8_t {
  Whole,  ///< it is decoded and compared with the leaf
  Claim   ///< by what it says itself: see claims_public_key(). One that says nothing of it is decoded
};

/// Reads PEM: every CERTIFICATE block in order (put in chain order where it is not), the first private key block of
/// `key_pem` (PKCS#8, SEC1, PKCS#1; encrypted ones are refused with an error that says so). The two may be the same
/// text (combined PEM). `source_chain` and `source_key` name the files in errors. Fails when the key does not match.
Result<std::shared_ptr<Credential>> make_credential(std::string_view chain_pem, std::string_view source_chain,
                                                    std::string_view key_pem, std::string_view source_key,
                                                    KeyCheck check = KeyCheck::Whole);

/// What make_credential() would make of this text, but without its key: for those that have to know the names of many
/// certificates and use few of them. They drop the chain once they have looked at it.
Result<std::shared_ptr<Credential>> make_deferred_credential(std::string_view chain_pem, std::string_view source_chain,
                                                             std::shared_ptr<const Deferred> deferred);

/// How a credential was found.
enum class Match : std::uint8_t { Exact, Wildcard, Parent, Default };
std::string_view to_string(Match match);

struct Choice {
  std::shared_ptr<const Credential> credential;  ///< null: there is nothing to serve (the handshake fails)
  Match match = Match::Default;
  /// What tickets are bound to: protocol, matched entry and the leaf digests.
  Digest identity{};
};

/// Where the early callback gets its credential from. Called on loop threads: must not block, allocate much or throw.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  virtual Choice choose(const ClientHello& hello) const noexcept = 0;
  /// What to serve when the chosen credential, a deferred one, cannot be read.
  virtual Choice choose_default(const ClientHello& /*hello*/) const noexcept { return {}; }
};

}  // namespace postern::tls
