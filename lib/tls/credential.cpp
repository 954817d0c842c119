#include "tls/credential.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "tls/certificate_der.h"
#include "tls/errors.h"
#include "tls/leaf_facts.h"
#include "tls/pem.h"

namespace postern::tls {

namespace {

/// One pool for the whole process, so that an intermediate that thousands of chains share is held once. Never freed:
/// credentials may outlive every static object.
CRYPTO_BUFFER_POOL* certificate_pool() {
  static CRYPTO_BUFFER_POOL* const pool = CRYPTO_BUFFER_POOL_new();
  return pool;
}

bool is_linked(const std::vector<CertificateParts>& naming) {
  for (std::size_t i = 1; i < naming.size(); ++i) {
    if (naming[i - 1].issuer != naming[i].subject) return false;
  }
  return true;
}

/// Indices of a chain in sending order: the leaf is the first certificate that issued no other one of the file, then
/// follows each one's issuer; what belongs to no link stays behind, in its old order.
std::vector<std::size_t> sending_order(const std::vector<CertificateParts>& naming) {
  const auto issued_another = [&naming](std::size_t candidate) {
    for (std::size_t i = 0; i < naming.size(); ++i) {
      if (naming[i].issuer == naming[candidate].subject && naming[i].subject != naming[candidate].subject) return true;
    }
    return false;
  };
  std::vector<std::size_t> rest(naming.size());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = i;
  auto next = std::find_if_not(rest.begin(), rest.end(), issued_another);
  if (next == rest.end()) return rest;  // a ring of issuers: nothing to be said about it

  std::vector<std::size_t> order;
  while (next != rest.end()) {
    order.push_back(*next);
    rest.erase(next);
    const std::string_view wanted = naming[order.back()].issuer;
    next = std::find_if(rest.begin(), rest.end(), [&](std::size_t i) { return naming[i].subject == wanted; });
  }
  order.insert(order.end(), rest.begin(), rest.end());
  return order;
}

Result<bssl::UniquePtr<CRYPTO_BUFFER>> decoded_certificate(const PemBlock& block, std::string_view source) {
  const auto der = decode_pem(block, source);
  if (!der) return fail_with(der.error());
  return pooled_certificate(*der);
}

/// What stands behind the leaf is the same few certificates in most files: they are not decoded again each time.
class Issuers {
 public:
  Result<bssl::UniquePtr<CRYPTO_BUFFER>> read(const PemBlock& block, std::string_view source) {
    for (const Known& known : known_) {
      if (known.certificate && known.base64 == block.base64) return bssl::UpRef(known.certificate);
    }
    auto certificate = decoded_certificate(block, source);
    if (!certificate) return certificate;
    known_[next_] = {std::string(block.base64), bssl::UpRef(*certificate)};
    next_ = (next_ + 1) % known_.size();
    return certificate;
  }

 private:
  struct Known {
    std::string base64;
    bssl::UniquePtr<CRYPTO_BUFFER> certificate;
  };
  std::array<Known, 8> known_;
  std::size_t next_ = 0;
};

struct ReadChain {
  Chain chain;
  std::vector<std::string> notes;
};

Result<ReadChain> read_chain(std::string_view pem, std::string_view source) {
  const auto blocks = read_pem(pem, source);
  if (!blocks) return fail_with(blocks.error());
  ReadChain read;
  std::vector<CertificateParts> naming;
  thread_local Issuers issuers;
  for (const PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE" && block.label != "X509 CERTIFICATE") continue;
    auto certificate = read.chain.empty() ? decoded_certificate(block, source) : issuers.read(block, source);
    if (!certificate) return fail_with(certificate.error());
    auto buffer = std::move(*certificate);
    const auto names = parts_of(buffer.get());
    if (!names) return fail("{}:{}: the certificate is damaged: it is not an X.509 structure", source, block.line);
    const bool known = std::any_of(read.chain.begin(), read.chain.end(),
                                   [&](const auto& other) { return other.get() == buffer.get(); });
    if (known) {  // one pool: equal certificates are the same object
      read.notes.push_back(fmt::format("{}:{}: the same certificate stands in the file twice; it is sent once", source,
                                       block.line));
      continue;
    }
    naming.push_back(*names);
    read.chain.push_back(std::move(buffer));
  }
  if (read.chain.empty()) {
    if (pem.substr(0, 1) == "\x30") {
      return fail("{}: holds no certificate in PEM form; it looks like DER: convert it with `openssl x509 -inform DER`",
                  source);
    }
    return fail("{}: holds no certificate", source);
  }
  if (is_linked(naming)) return read;

  const auto order = sending_order(naming);
  if (!std::is_sorted(order.begin(), order.end())) {
    Chain sorted;
    for (const std::size_t i : order) sorted.push_back(std::move(read.chain[i]));
    read.chain = std::move(sorted);
    read.notes.push_back(fmt::format("{}: the chain is out of order; it is sent leaf first, then issuer by issuer",
                                     source));
  }
  return read;
}

std::shared_ptr<Credential> assemble(ReadChain read, LeafFacts leaf, std::string_view source_chain) {
  auto credential = std::make_shared<Credential>();
  credential->chain = std::move(read.chain);
  credential->leaf = std::move(leaf);
  credential->source = source_chain;
  credential->notes = std::move(read.notes);
  return credential;
}

std::string first_name_of(const LeafFacts& leaf) {
  if (!leaf.names.empty()) return leaf.names.front().text();
  if (!leaf.wildcards.empty()) return "*." + leaf.wildcards.front().text();
  return leaf.subject.empty() ? "an unnamed subject" : leaf.subject;
}

}  // namespace

bssl::UniquePtr<CRYPTO_BUFFER> pooled_certificate(std::string_view der) {
  return bssl::UniquePtr<CRYPTO_BUFFER>(
      CRYPTO_BUFFER_new(reinterpret_cast<const std::uint8_t*>(der.data()), der.size(), certificate_pool()));
}

std::string_view to_string(Match match) {
  switch (match) {
    case Match::Exact: return "exact";
    case Match::Wildcard: return "wildcard";
    case Match::Parent: return "parent";
    case Match::Default: return "default";
  }
  return "unknown";
}

Result<std::shared_ptr<Credential>> make_deferred_credential(std::string_view chain_pem, std::string_view source_chain,
                                                             std::shared_ptr<const Deferred> deferred) {
  auto read = read_chain(chain_pem, source_chain);
  if (!read) return fail_with(read.error());
  auto leaf = read_leaf(read->chain.front().get(), source_chain);
  if (!leaf) return fail_with(leaf.error());
  auto credential = assemble(std::move(*read), std::move(leaf->facts), source_chain);
  credential->deferred = std::move(deferred);
  return credential;
}

Result<std::shared_ptr<Credential>> make_credential(std::string_view chain_pem, std::string_view source_chain,
                                                    std::string_view key_pem, std::string_view source_key,
                                                    KeyCheck check) {
  auto read = read_chain(chain_pem, source_chain);
  if (!read) return fail_with(read.error());
  auto leaf = read_leaf(read->chain.front().get(), source_chain);
  if (!leaf) return fail_with(leaf.error());
  auto encoded = find_key(key_pem, source_key);
  if (!encoded) return fail_with(encoded.error());
  const auto parts = parts_of(read->chain.front().get());
  if (check == KeyCheck::Claim && claims_public_key(*encoded, leaf->facts.key_kind, parts->key_info)) {
    auto credential = assemble(std::move(*read), std::move(leaf->facts), source_chain);
    credential->key = PrivateKey(std::move(*encoded));
    return credential;
  }
  auto key = decode_key(*encoded, source_key);
  if (!key) return fail_with(key.error());
  const bool matches = EVP_PKEY_cmp(leaf->public_key.get(), key->get()) == 1;
  drain_errors();
  if (!matches) {
    return fail("{}: the key does not match the certificate of {} in {}", source_key, first_name_of(leaf->facts),
                source_chain);
  }
  auto credential = assemble(std::move(*read), std::move(leaf->facts), source_chain);
  credential->key = PrivateKey(std::move(*key));
  return credential;
}

}  // namespace postern::tls
