#include "tls/staple.h"

#include <array>

#include "base/text.h"
#include "tls/certificate_der.h"

namespace postern::tls {

namespace {

constexpr unsigned constructed(unsigned number) { return CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | number; }
constexpr unsigned primitive(unsigned number) { return CBS_ASN1_CONTEXT_SPECIFIC | number; }

constexpr unsigned status_good = primitive(0);
constexpr unsigned status_revoked = constructed(1);

std::string_view bytes_of(const CBS& cbs) { return {reinterpret_cast<const char*>(CBS_data(&cbs)), CBS_len(&cbs)}; }

/// RFC 5280 section 4.1.2.5.2: "YYYYMMDDHHMMSSZ".
std::optional<WallTime> time_of(std::string_view text) {
  if (text.size() != 15 || text.back() != 'Z') return std::nullopt;
  const auto number = [text](std::size_t from, std::size_t count) { return parse_decimal(text.substr(from, count)); };
  const auto year = number(0, 4), month = number(4, 2), day = number(6, 2);
  const auto hour = number(8, 2), minute = number(10, 2), second = number(12, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

/// RFC 6960 section 4.2.1, SingleResponse.
struct SingleResponse {
  CBS hash_algorithm{}, issuer_name_hash{}, issuer_key_hash{}, serial{};
  unsigned status = 0;
  std::optional<WallTime> this_update, next_update;
};

bool read_single(CBS* responses, SingleResponse& single) {
  CBS response, id, status, this_update, next_update, next_update_time;
  int has_next = 0;
  if (!CBS_get_asn1(responses, &response, CBS_ASN1_SEQUENCE) || !CBS_get_asn1(&response, &id, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1_element(&id, &single.hash_algorithm, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&id, &single.issuer_name_hash, CBS_ASN1_OCTETSTRING) ||
      !CBS_get_asn1(&id, &single.issuer_key_hash, CBS_ASN1_OCTETSTRING) ||
      !CBS_get_asn1(&id, &single.serial, CBS_ASN1_INTEGER) ||
      !CBS_get_any_asn1(&response, &status, &single.status) ||
      !CBS_get_asn1(&response, &this_update, CBS_ASN1_GENERALIZEDTIME) ||
      !CBS_get_optional_asn1(&response, &next_update, &has_next, constructed(0))) {
    return false;
  }
  single.this_update = time_of(bytes_of(this_update));
  if (has_next != 0) {
    if (!CBS_get_asn1(&next_update, &next_update_time, CBS_ASN1_GENERALIZEDTIME)) return false;
    single.next_update = time_of(bytes_of(next_update_time));
    if (!single.next_update) return false;
  }
  return single.this_update.has_value();
}

enum class Shape { Damaged, Unsuccessful, Whole };

/// Finds the list of SingleResponses in an OCSPResponse.
Shape find_responses(std::string_view der, CBS* responses) {
  constexpr std::array<std::uint8_t, 9> id_pkix_ocsp_basic{0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01};
  CBS all, response, status, bytes, inner, type, basic_octets, basic, data, responder;
  unsigned responder_tag = 0;
  CBS_init(&all, reinterpret_cast<const std::uint8_t*>(der.data()), der.size());
  if (!CBS_get_asn1(&all, &response, CBS_ASN1_SEQUENCE) || CBS_len(&all) != 0 ||
      !CBS_get_asn1(&response, &status, CBS_ASN1_ENUMERATED) || CBS_len(&status) != 1) {
    return Shape::Damaged;
  }
  if (CBS_data(&status)[0] != 0) return Shape::Unsuccessful;
  const bool whole =
      CBS_get_asn1(&response, &bytes, constructed(0)) && CBS_get_asn1(&bytes, &inner, CBS_ASN1_SEQUENCE) &&
      CBS_get_asn1(&inner, &type, CBS_ASN1_OBJECT) &&
      CBS_mem_equal(&type, id_pkix_ocsp_basic.data(), id_pkix_ocsp_basic.size()) &&
      CBS_get_asn1(&inner, &basic_octets, CBS_ASN1_OCTETSTRING) &&
      CBS_get_asn1(&basic_octets, &basic, CBS_ASN1_SEQUENCE) && CBS_len(&basic_octets) == 0 &&
      CBS_get_asn1(&basic, &data, CBS_ASN1_SEQUENCE) && CBS_len(&basic) > 0 &&
      CBS_get_optional_asn1(&data, nullptr, nullptr, constructed(0)) &&  // version
      CBS_get_any_asn1(&data, &responder, &responder_tag) &&
      CBS_get_asn1(&data, nullptr, CBS_ASN1_GENERALIZEDTIME) &&          // producedAt
      CBS_get_asn1(&data, responses, CBS_ASN1_SEQUENCE);
  return whole ? Shape::Whole : Shape::Damaged;
}

bool is_hash_of(const CBS& hash, const EVP_MD* algorithm, std::string_view bytes) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  return EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, algorithm, nullptr) == 1 &&
         CBS_mem_equal(&hash, digest.data(), length) == 1;
}

bool concerns(const SingleResponse& single, const CertificateParts& leaf, const CRYPTO_BUFFER* issuer) {
  CBS algorithm = single.hash_algorithm;
  const EVP_MD* const digest = EVP_parse_digest_algorithm(&algorithm);
  ERR_clear_error();
  if (digest == nullptr || bytes_of(single.serial) != leaf.serial ||
      !is_hash_of(single.issuer_name_hash, digest, leaf.issuer)) {
    return false;
  }
  const auto issuer_parts = issuer == nullptr ? std::nullopt : parts_of(issuer);
  return !issuer_parts || is_hash_of(single.issuer_key_hash, digest, issuer_parts->public_key);
}

}  // namespace

Result<std::optional<Staple>> read_staple(std::string_view der, std::string_view source, const CRYPTO_BUFFER* leaf,
                                          const CRYPTO_BUFFER* issuer) {
  CBS responses;
  switch (find_responses(der, &responses)) {
    case Shape::Damaged: return fail("{}: is no OCSP response in DER form", source);
    case Shape::Unsuccessful: return fail("{}: is the refusal of an OCSP server, not a response", source);
    case Shape::Whole: break;
  }
  const auto leaf_parts = parts_of(leaf);
  while (leaf_parts && CBS_len(&responses) > 0) {
    SingleResponse single;
    if (!read_single(&responses, single)) return fail("{}: is no OCSP response in DER form", source);
    if (!concerns(single, *leaf_parts, issuer)) continue;
    if (single.status == status_revoked) return fail("{}: says that the certificate has been revoked", source);
    if (single.status != status_good) return fail("{}: says that the certificate is not known to its issuer", source);
    if (!single.next_update) return fail("{}: does not say until when it is good", source);
    return Staple{std::string(der), *single.this_update, *single.next_update};
  }
  return std::nullopt;
}

}  // namespace postern::tls
