#include "tls/certificate_der.h"

namespace postern::tls {

namespace {
std::string_view bytes_of(const CBS& cbs) { return {reinterpret_cast<const char*>(CBS_data(&cbs)), CBS_len(&cbs)}; }
}  // namespace

std::optional<CertificateParts> parts_of(const CRYPTO_BUFFER* certificate) {
  CBS der, outer, tbs, serial, issuer, validity, subject, whole_key_info, key_info, key;
  std::uint8_t unused_bits = 0;
  CRYPTO_BUFFER_init_CBS(certificate, &der);
  if (!CBS_get_asn1(&der, &outer, CBS_ASN1_SEQUENCE) || CBS_len(&der) != 0 ||
      !CBS_get_asn1(&outer, &tbs, CBS_ASN1_SEQUENCE) ||
      !CBS_get_optional_asn1(&tbs, nullptr, nullptr, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) ||
      !CBS_get_asn1(&tbs, &serial, CBS_ASN1_INTEGER) ||
      !CBS_get_asn1(&tbs, nullptr, CBS_ASN1_SEQUENCE) ||           // signature
      !CBS_get_asn1_element(&tbs, &issuer, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&tbs, &validity, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1_element(&tbs, &subject, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1_element(&tbs, &whole_key_info, CBS_ASN1_SEQUENCE)) {
    return std::nullopt;
  }
  CBS rest = whole_key_info;
  if (!CBS_get_asn1(&rest, &key_info, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&key_info, nullptr, CBS_ASN1_SEQUENCE) ||      // algorithm
      !CBS_get_asn1(&key_info, &key, CBS_ASN1_BITSTRING) || !CBS_get_u8(&key, &unused_bits)) {
    return std::nullopt;
  }
  CBS tagged, extensions;
  int has_extensions = 0;
  CBS_init(&extensions, nullptr, 0);
  if (!CBS_get_optional_asn1(&tbs, nullptr, nullptr, CBS_ASN1_CONTEXT_SPECIFIC | 1) ||  // issuerUniqueID
      !CBS_get_optional_asn1(&tbs, nullptr, nullptr, CBS_ASN1_CONTEXT_SPECIFIC | 2) ||  // subjectUniqueID
      !CBS_get_optional_asn1(&tbs, &tagged, &has_extensions, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 3) ||
      (has_extensions == 1 && !CBS_get_asn1(&tagged, &extensions, CBS_ASN1_SEQUENCE)) || CBS_len(&tbs) != 0 ||
      !CBS_get_asn1(&outer, nullptr, CBS_ASN1_SEQUENCE) ||         // signatureAlgorithm
      !CBS_get_asn1(&outer, nullptr, CBS_ASN1_BITSTRING) || CBS_len(&outer) != 0) {
    return std::nullopt;
  }
  return CertificateParts{bytes_of(serial),         bytes_of(issuer), bytes_of(validity),  bytes_of(subject),
                          bytes_of(whole_key_info), bytes_of(key),    bytes_of(extensions)};
}

}  // namespace postern::tls
