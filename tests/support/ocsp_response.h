// OCSP responses for tests, signed with nothing: whoever staples does not check signatures.
#pragma once

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <optional>
#include <string>

#include "base/instant.h"
#include "tests/support/test_ca.h"
#include "tls/certificate_der.h"
#include "tls/compat.h"

namespace postern::test {

struct OcspRequest {
  enum class Status { Good, Revoked, Unknown };
  Status status = Status::Good;
  WallTime this_update = test_now() - std::chrono::hours(1);
  std::optional<WallTime> next_update = test_now() + std::chrono::days(3);
  enum class Hash { Sha1, Sha256 };
  Hash hash = Hash::Sha1;
};

/// A successful response about the leaf of a credential whose chain has its issuer.
inline std::string ocsp_response(const tls::Credential& credential, const OcspRequest& request = {}) {
  const auto leaf = tls::parts_of(credential.chain.at(0).get()).value();
  const auto issuer = tls::parts_of(credential.chain.at(1).get()).value();
  const bool sha1 = request.hash == OcspRequest::Hash::Sha1;
  const auto add_bytes = [](CBB* cbb, std::string_view bytes) {
    CBB_add_bytes(cbb, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  };
  const auto add_hash = [&](CBB* cbb, std::string_view bytes) {
    std::uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    EVP_Digest(bytes.data(), bytes.size(), digest, &length, sha1 ? EVP_sha1() : EVP_sha256(), nullptr);
    CBB octets;
    CBB_add_asn1(cbb, &octets, CBS_ASN1_OCTETSTRING);
    CBB_add_bytes(&octets, digest, length);
    CBB_flush(cbb);  // `octets` ends with this function
  };
  const auto add_time = [&](CBB* cbb, WallTime time) {
    CBB text;
    CBB_add_asn1(cbb, &text, CBS_ASN1_GENERALIZEDTIME);
    add_bytes(&text, fmt::format("{:%Y%m%d%H%M%S}Z", fmt::gmtime(WallTime::clock::to_time_t(time))));
    CBB_flush(cbb);
  };
  constexpr unsigned context = CBS_ASN1_CONTEXT_SPECIFIC, constructed = CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED;

  bssl::ScopedCBB cbb;
  CBB response, child, bytes, inner, octets, basic, data, responder, list, single, id, algorithm, value;
  CBB_init(cbb.get(), 512);
  CBB_add_asn1(cbb.get(), &response, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&response, &child, CBS_ASN1_ENUMERATED);
  CBB_add_u8(&child, 0);
  CBB_add_asn1(&response, &bytes, constructed | 0);
  CBB_add_asn1(&bytes, &inner, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&inner, &child, CBS_ASN1_OBJECT);
  add_bytes(&child, "\x2b\x06\x01\x05\x05\x07\x30\x01\x01");
  CBB_add_asn1(&inner, &octets, CBS_ASN1_OCTETSTRING);
  CBB_add_asn1(&octets, &basic, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&basic, &data, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&data, &responder, constructed | 2);
  add_hash(&responder, issuer.public_key);
  add_time(&data, request.this_update);
  CBB_add_asn1(&data, &list, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&list, &single, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&single, &id, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&id, &algorithm, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&algorithm, &value, CBS_ASN1_OBJECT);
  add_bytes(&value, sha1 ? std::string_view("\x2b\x0e\x03\x02\x1a") : std::string_view("\x60\x86\x48\x01\x65\x03\x04\x02\x01", 9));
  CBB_add_asn1(&algorithm, &value, CBS_ASN1_NULL);
  add_hash(&id, leaf.issuer);
  add_hash(&id, issuer.public_key);
  CBB_add_asn1(&id, &value, CBS_ASN1_INTEGER);
  add_bytes(&value, leaf.serial);
  switch (request.status) {
    case OcspRequest::Status::Good: CBB_add_asn1(&single, &value, context | 0); break;
    case OcspRequest::Status::Unknown: CBB_add_asn1(&single, &value, context | 2); break;
    case OcspRequest::Status::Revoked:
      CBB_add_asn1(&single, &value, constructed | 1);
      add_time(&value, request.this_update);
      break;
  }
  add_time(&single, request.this_update);
  if (request.next_update) {
    CBB_add_asn1(&single, &value, constructed | 0);
    add_time(&value, *request.next_update);
  }
  CBB_add_asn1(&basic, &algorithm, CBS_ASN1_SEQUENCE);
  CBB_add_asn1(&basic, &value, CBS_ASN1_BITSTRING);
  CBB_add_u8(&value, 0);

  std::uint8_t* der = nullptr;
  std::size_t length = 0;
  if (CBB_finish(cbb.get(), &der, &length) != 1) return {};
  const bssl::UniquePtr<std::uint8_t> owned(der);
  return {reinterpret_cast<const char*>(der), length};
}

}  // namespace postern::test
