#include "certs/chooser.h"

#include <array>
#include <string_view>
#include <utility>

namespace postern::certs {

namespace {

/// The `supported_groups` value of the curve of an ECDSA key (RFC 8446 section 4.2.7).
std::uint16_t curve_of(tls::KeyKind kind) {
  switch (kind) {
    case tls::KeyKind::EcdsaP384: return 24;
    case tls::KeyKind::EcdsaP521: return 25;
    default: return 23;
  }
}

bool acceptable(const tls::Credential& credential, const tls::ClientHello& hello) {
  switch (credential.leaf.key_kind) {
    case tls::KeyKind::Rsa: return hello.accepts_rsa();
    case tls::KeyKind::Ed25519: return hello.accepts_ed25519();
    default: return hello.accepts_ecdsa(curve_of(credential.leaf.key_kind));
  }
}

using CredentialRef = const std::shared_ptr<const tls::Credential>*;

/// EC keys first: they sign some twenty times faster. Null when the client can verify neither.
CredentialRef acceptable_of(const Entry* entry, const tls::ClientHello& hello) {
  if (entry == nullptr) return nullptr;
  if (entry->ecdsa && acceptable(*entry->ecdsa, hello)) return &entry->ecdsa;
  if (entry->rsa && acceptable(*entry->rsa, hello)) return &entry->rsa;
  return nullptr;
}

/// What is served although the client seems to be unable to use it: the TLS library has the last word.
CredentialRef any_of(const Entry* entry) {
  if (entry == nullptr) return nullptr;
  return entry->rsa ? &entry->rsa : &entry->ecdsa;
}

/// SHA-256 over the parts, each preceded by its length, so that no two lists of parts look alike.
class IdentityHash {
 public:
  IdentityHash() { SHA256_Init(&state_); }
  void add(std::string_view part) {
    const std::array<std::uint8_t, 2> length{static_cast<std::uint8_t>(part.size() >> 8),
                                             static_cast<std::uint8_t>(part.size())};
    SHA256_Update(&state_, length.data(), length.size());
    SHA256_Update(&state_, part.data(), part.size());
  }
  void add_leaf(const std::shared_ptr<const tls::Credential>& credential) {
    if (!credential) return add({});
    const auto& digest = credential->leaf.fingerprint;
    add({reinterpret_cast<const char*>(digest.data()), digest.size()});
  }
  tls::Digest finish() {
    tls::Digest digest;
    SHA256_Final(digest.data(), &state_);
    return digest;
  }

 private:
  SHA256_CTX state_;
};

}  // namespace

Chooser::Chooser(std::shared_ptr<const Snapshot> snapshot, std::string realm, std::string default_certificate,
                 std::shared_ptr<const Snapshot> default_snapshot, CredentialCache* cache)
    : snapshot_(std::move(snapshot)),
      realm_(std::move(realm)),
      default_certificate_(std::move(default_certificate)),
      default_snapshot_(std::move(default_snapshot)),
      cache_(cache) {}

tls::Choice Chooser::choose(const tls::ClientHello& hello) const noexcept {
  Found found;  // nothing: the default
  if (hello.server_name) found = snapshot_->find(*hello.server_name);
  return choose(found, hello);
}

tls::Choice Chooser::choose_default(const tls::ClientHello& hello) const noexcept { return choose(Found(), hello); }

tls::Choice Chooser::choose(const Found& named, const tls::ClientHello& hello) const noexcept {
  Found found = named;
  CredentialRef credential = acceptable_of(found.entry, hello);
  if (credential == nullptr) {
    // Either there is no such name, or the client cannot verify the kind of key that it has: then any certificate that
    // it can use is better than none, for an aborted handshake sends most senders back in clear.
    const Entry* fallback = default_snapshot_->find_default(default_certificate_);
    credential = acceptable_of(fallback, hello);
    if (credential != nullptr || found.entry == nullptr) {
      found = {fallback, tls::Match::Default, ""};  // no name has an empty key, not even a host called "default"
    }
    if (credential == nullptr) credential = any_of(found.entry);
  }
  if (credential == nullptr) return {};
  IdentityHash identity;
  identity.add(realm_);
  identity.add(found.key);
  identity.add_leaf(found.entry->ecdsa);
  identity.add_leaf(found.entry->rsa);
  std::shared_ptr<const tls::Credential> chosen = *credential;
  if (chosen->deferred && cache_ != nullptr) {
    if (auto whole = cache_->find(chosen)) chosen = std::move(whole);
  }
  return {std::move(chosen), found.match, identity.finish()};
}

}  // namespace postern::certs
