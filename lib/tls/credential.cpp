#include "tls/credential.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "tls/certificate_der.h"
#include "tls/errors.h"
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

std::string text_of(const ASN1_STRING* string) {
  std::uint8_t* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, string);
  if (length < 0) return {};
  const bssl::UniquePtr<std::uint8_t> owned(utf8);
  return std::string(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
}

/// The last value of an attribute of a distinguished name: the most specific one.
template <class Name>
std::optional<std::string> attribute(const Name* name, int nid) {
  int last = -1;
  for (int i = -1; (i = X509_NAME_get_index_by_NID(name, nid, i)) >= 0;) last = i;
  if (last < 0) return std::nullopt;
  return text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, last)));
}

/// A distinguished name for people: its common name, else its organization.
template <class Name>
std::string readable_name(const Name* name) {
  auto text = attribute(name, NID_commonName);
  if (!text) text = attribute(name, NID_organizationName);
  return escaped(text.value_or(""));
}

std::optional<WallTime> time_of(const ASN1_TIME* time) {
  const bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  int days = 0;
  int seconds = 0;
  if (!ASN1_TIME_diff(&days, &seconds, epoch.get(), time)) return std::nullopt;
  return WallTime(std::chrono::days(days) + std::chrono::seconds(seconds));
}

/// Puts a presented identifier where it belongs. What is no host name (partial wildcards, white space) matches nothing
/// and is left out.
void add_name(LeafFacts& facts, std::string_view identifier) {
  const bool wildcard = identifier.substr(0, 2) == "*.";
  auto name = DnsName::parse(wildcard ? identifier.substr(2) : identifier);
  if (!name) return;
  auto& list = wildcard ? facts.wildcards : facts.names;
  if (std::find(list.begin(), list.end(), *name) == list.end()) list.push_back(std::move(*name));
}

void read_names(const X509* certificate, LeafFacts& facts) {
  if (X509_get_ext_by_NID(certificate, NID_subject_alt_name, -1) < 0) {
    // RFC 6125 section 6.4.4: the common name is the last resort, and only without a subjectAltName.
    if (const auto common_name = attribute(X509_get_subject_name(certificate), NID_commonName)) {
      add_name(facts, *common_name);
    }
    return;
  }
  const bssl::UniquePtr<GENERAL_NAMES> alternatives(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (std::size_t i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
    const GENERAL_NAME* alternative = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (alternative->type != GEN_DNS) continue;
    const ASN1_STRING* text = alternative->d.dNSName;
    add_name(facts, {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<std::size_t>(ASN1_STRING_length(text))});
  }
}

struct ReadLeaf {
  LeafFacts facts;
  bssl::UniquePtr<EVP_PKEY> public_key;
};

Result<ReadLeaf> read_leaf_certificate(CRYPTO_BUFFER* der, std::string_view source) {
  const bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(der));
  if (!certificate) return fail("{}: the certificate is damaged: {}", source, drain_errors());
  ReadLeaf read;
  LeafFacts& facts = read.facts;
  const auto* subject = X509_get_subject_name(certificate.get());
  const auto* issuer = X509_get_issuer_name(certificate.get());
  facts.subject = readable_name(subject);
  facts.issuer = readable_name(issuer);
  read_names(certificate.get(), facts);

  const auto not_before = time_of(X509_get0_notBefore(certificate.get()));
  const auto not_after = time_of(X509_get0_notAfter(certificate.get()));
  if (!not_before || !not_after) return fail("{}: the certificate's validity dates cannot be read", source);
  facts.not_before = *not_before;
  facts.not_after = *not_after;

  read.public_key.reset(X509_get_pubkey(certificate.get()));
  const auto kind = read.public_key ? kind_of(read.public_key.get()) : std::nullopt;
  drain_errors();
  if (!kind) return fail("{}: the certificate's key is of another kind or damaged: {}", source, served_keys);
  facts.key_kind = *kind;
  facts.key_bits = static_cast<unsigned>(EVP_PKEY_bits(read.public_key.get()));
  facts.self_signed =
      X509_NAME_cmp(subject, issuer) == 0 && X509_verify(certificate.get(), read.public_key.get()) == 1;
  drain_errors();
  SHA256(CRYPTO_BUFFER_data(der), CRYPTO_BUFFER_len(der), facts.fingerprint.data());
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

std::string issuer_for_people(CRYPTO_BUFFER& certificate) {
  const bssl::UniquePtr<X509> parsed(X509_parse_from_buffer(&certificate));
  drain_errors();
  return parsed ? readable_name(X509_get_issuer_name(parsed.get())) : std::string();
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

bool LeafFacts::covers(const DnsName& name) const {
  if (std::find(names.begin(), names.end(), name) != names.end()) return true;
  const std::string_view parent = name.parent();
  return std::any_of(wildcards.begin(), wildcards.end(),
                     [parent](const DnsName& wildcard) { return wildcard.text() == parent; });
}

Result<std::shared_ptr<Credential>> make_deferred_credential(std::string_view chain_pem, std::string_view source_chain,
                                                             std::shared_ptr<const Deferred> deferred) {
  auto read = read_chain(chain_pem, source_chain);
  if (!read) return fail_with(read.error());
  auto leaf = read_leaf_certificate(read->chain.front().get(), source_chain);
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
  auto leaf = read_leaf_certificate(read->chain.front().get(), source_chain);
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
