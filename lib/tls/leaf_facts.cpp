#include "tls/leaf_facts.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"
#include "tls/certificate_der.h"
#include "tls/errors.h"

namespace postern::tls {

namespace {

using Oid = std::array<std::uint8_t, 3>;
constexpr Oid id_common_name{0x55, 0x04, 0x03};        // 2.5.4.3
constexpr Oid id_organization_name{0x55, 0x04, 0x0a};  // 2.5.4.10
constexpr Oid id_subject_alt_name{0x55, 0x1d, 0x11};     // 2.5.29.17

CBS reader_of(std::string_view octets) {
  CBS cbs;
  CBS_init(&cbs, reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size());
  return cbs;
}

bool is(const CBS& oid, const Oid& wanted) { return CBS_mem_equal(&oid, wanted.data(), wanted.size()) == 1; }

/// The value of any of ASN.1's kinds of strings, or time.
bssl::UniquePtr<ASN1_STRING> string_of(const CBS& contents, unsigned tag) {
  bssl::UniquePtr<ASN1_STRING> string(ASN1_STRING_type_new(static_cast<int>(tag & CBS_ASN1_TAG_NUMBER_MASK)));
  const bool made = string && (tag & ~CBS_ASN1_TAG_NUMBER_MASK) == 0 &&
                    ASN1_STRING_set(string.get(), CBS_data(&contents), static_cast<int>(CBS_len(&contents))) == 1;
  return made ? std::move(string) : nullptr;
}

std::string text_of(const CBS& contents, unsigned tag) {
  const auto string = string_of(contents, tag);
  std::uint8_t* utf8 = nullptr;
  const int length = string ? ASN1_STRING_to_UTF8(&utf8, string.get()) : -1;
  if (length < 0) return {};
  const bssl::UniquePtr<std::uint8_t> owned(utf8);
  return std::string(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length));
}

/// Attributes of a distinguished name (RFC 5280 section 4.1.2.4), of each the last value: the most specific one.
struct Name {
  std::optional<std::string> common_name, organization;

  /// Its common name, else its organization.
  std::string for_people() const { return escaped(common_name ? *common_name : organization.value_or("")); }
};

/// Nothing when it is no distinguished name.
std::optional<Name> read_name(std::string_view der) {
  Name name;
  CBS whole = reader_of(der);
  CBS relative_names;
  if (!CBS_get_asn1(&whole, &relative_names, CBS_ASN1_SEQUENCE)) return std::nullopt;
  while (CBS_len(&relative_names) > 0) {
    CBS attributes;
    if (!CBS_get_asn1(&relative_names, &attributes, CBS_ASN1_SET)) return std::nullopt;
    while (CBS_len(&attributes) > 0) {
      CBS attribute, type, value;
      unsigned tag = 0;
      if (!CBS_get_asn1(&attributes, &attribute, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&attribute, &type, CBS_ASN1_OBJECT) ||
          !CBS_get_any_asn1(&attribute, &value, &tag)) {
        return std::nullopt;
      }
      if (is(type, id_common_name)) name.common_name = text_of(value, tag);
      if (is(type, id_organization_name)) name.organization = text_of(value, tag);
    }
  }
  return name;
}

std::optional<WallTime> next_time(CBS& validity) {
  static const bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
  CBS contents;
  unsigned tag = 0;
  if (!CBS_get_any_asn1(&validity, &contents, &tag)) return std::nullopt;
  if (tag != CBS_ASN1_UTCTIME && tag != CBS_ASN1_GENERALIZEDTIME) return std::nullopt;
  const auto time = string_of(contents, tag);
  int days = 0;
  int seconds = 0;
  if (!time || !ASN1_TIME_diff(&days, &seconds, epoch.get(), time.get())) return std::nullopt;
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

enum class Found : std::uint8_t { None, One, Damaged };

/// The contents of the extension subjectAltName (RFC 5280 section 4.2.1.6).
Found find_alternative_names(std::string_view extensions, CBS& names) {
  for (CBS rest = reader_of(extensions); CBS_len(&rest) > 0;) {
    CBS extension, id, value;
    if (!CBS_get_asn1(&rest, &extension, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&extension, &id, CBS_ASN1_OBJECT) ||
        !CBS_get_optional_asn1(&extension, nullptr, nullptr, CBS_ASN1_BOOLEAN) ||
        !CBS_get_asn1(&extension, &value, CBS_ASN1_OCTETSTRING)) {
      return Found::Damaged;
    }
    if (!is(id, id_subject_alt_name)) continue;
    return CBS_get_asn1(&value, &names, CBS_ASN1_SEQUENCE) && CBS_len(&value) == 0 ? Found::One : Found::Damaged;
  }
  return Found::None;
}

/// False when they are damaged.
bool read_names(const CertificateParts& parts, const Name& subject, LeafFacts& facts) {
  constexpr unsigned dns_name = CBS_ASN1_CONTEXT_SPECIFIC | 2;
  CBS names;
  switch (find_alternative_names(parts.extensions, names)) {
    case Found::Damaged: return false;
    case Found::None:
      // RFC 6125 section 6.4.4: the common name is the last resort, and only without a subjectAltName.
      if (subject.common_name) add_name(facts, *subject.common_name);
      return true;
    case Found::One: break;
  }
  while (CBS_len(&names) > 0) {
    CBS contents;
    unsigned tag = 0;
    if (!CBS_get_any_asn1(&names, &contents, &tag)) return false;
    if (tag == dns_name) add_name(facts, {reinterpret_cast<const char*>(CBS_data(&contents)), CBS_len(&contents)});
  }
  return true;
}

bool is_signed_by(const CRYPTO_BUFFER* certificate, EVP_PKEY* key) {
  // It takes one that belongs to it, and changes nothing else.
  const bssl::UniquePtr<X509> parsed(X509_parse_from_buffer(const_cast<CRYPTO_BUFFER*>(certificate)));
  return parsed && X509_verify(parsed.get(), key) == 1;
}

}  // namespace

bool LeafFacts::covers(const DnsName& name) const {
  if (std::find(names.begin(), names.end(), name) != names.end()) return true;
  const std::string_view parent = name.parent();
  return std::any_of(wildcards.begin(), wildcards.end(),
                     [parent](const DnsName& wildcard) { return wildcard.text() == parent; });
}

Result<ReadLeaf> read_leaf(const CRYPTO_BUFFER* certificate, std::string_view source) {
  const auto damaged = [source](std::string_view part) {
    return fail("{}: the certificate is damaged: its {} cannot be read", source, part);
  };
  const auto parts = parts_of(certificate);
  if (!parts) return damaged("structure");
  ReadLeaf read;
  LeafFacts& facts = read.facts;
  const auto subject = read_name(parts->subject);
  const auto issuer = read_name(parts->issuer);
  drain_errors();
  if (!subject || !issuer) return damaged(subject ? "issuer" : "subject");
  facts.subject = subject->for_people();
  facts.issuer = issuer->for_people();
  if (!read_names(*parts, *subject, facts)) return damaged("subjectAltName");

  CBS validity = reader_of(parts->validity);
  const auto not_before = next_time(validity);
  const auto not_after = next_time(validity);
  drain_errors();
  if (!not_before || !not_after) return fail("{}: the certificate's validity dates cannot be read", source);
  facts.not_before = *not_before;
  facts.not_after = *not_after;

  CBS key_info = reader_of(parts->key_info);
  read.public_key.reset(EVP_parse_public_key(&key_info));
  const auto kind = read.public_key ? kind_of(read.public_key.get()) : std::nullopt;
  drain_errors();
  if (!kind) return fail("{}: the certificate's key is of another kind or damaged: {}", source, served_keys);
  facts.key_kind = *kind;
  facts.key_bits = static_cast<unsigned>(EVP_PKEY_bits(read.public_key.get()));
  facts.self_signed = parts->subject == parts->issuer && is_signed_by(certificate, read.public_key.get());
  drain_errors();
  SHA256(CRYPTO_BUFFER_data(certificate), CRYPTO_BUFFER_len(certificate), facts.fingerprint.data());
  return read;
}

std::string issuer_for_people(const CRYPTO_BUFFER& certificate) {
  const auto parts = parts_of(&certificate);
  const auto issuer = parts ? read_name(parts->issuer) : std::nullopt;
  drain_errors();
  return issuer ? issuer->for_people() : std::string();
}

}  // namespace postern::tls
