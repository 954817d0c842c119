#include "tls/peer_check.h"

#include "tls/errors.h"
#include "tls/pem.h"

namespace postern::tls {

Result<bssl::UniquePtr<X509_STORE>> make_trust_store(std::string_view roots_pem, std::string_view source) {
  const auto blocks = read_pem(roots_pem, source);
  if (!blocks) return fail_with(blocks.error());
  bssl::UniquePtr<X509_STORE> store(X509_STORE_new());
  bool empty = true;
  for (const PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE") continue;
    const auto der = decode_pem(block, source);
    if (!der) return fail_with(der.error());
    const bssl::UniquePtr<CRYPTO_BUFFER> buffer(
        CRYPTO_BUFFER_new(reinterpret_cast<const std::uint8_t*>(der->data()), der->size(), nullptr));
    const bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(buffer.get()));
    // An anchor that stands there twice is no error.
    if (!certificate || !X509_STORE_add_cert(store.get(), certificate.get())) {
      return fail("{}:{}: the certificate cannot be read: {}", source, block.line, drain_errors());
    }
    empty = false;
  }
  drain_errors();
  if (empty) return fail("{}: no certificate there", source);
  X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  return store;
}

namespace {

using Certificates = bssl::UniquePtr<STACK_OF(X509)>;

/// Parses one more; false when it is damaged.
bool add_certificate(Certificates& certificates, CRYPTO_BUFFER* der) {
  bssl::UniquePtr<X509> certificate(X509_parse_from_buffer(der));
  return certificate && bssl::PushToStack(certificates.get(), std::move(certificate));
}

/// Ready to verify the first of the certificates as that of a TLS server, with the help of the others; null: no memory.
bssl::UniquePtr<X509_STORE_CTX> verification_of(X509_STORE& roots, const Certificates& certificates) {
  bssl::UniquePtr<X509_STORE_CTX> verification(X509_STORE_CTX_new());
  const bool prepared = X509_STORE_CTX_init(verification.get(), &roots, sk_X509_value(certificates.get(), 0),
                                            certificates.get()) == 1 &&
                        X509_STORE_CTX_set_default(verification.get(), "ssl_server") == 1;
  if (!prepared) verification.reset();
  return verification;
}

}  // namespace

std::optional<PeerFault> check_peer(X509_STORE& roots, const STACK_OF(CRYPTO_BUFFER) * chain,
                                    const std::optional<DnsName>& name) {
  const std::string who = name ? name->text() : "the peer";
  const std::size_t length = chain == nullptr ? 0 : sk_CRYPTO_BUFFER_num(chain);
  Certificates certificates(sk_X509_new_null());
  for (std::size_t i = 0; i < length; ++i) {
    if (!add_certificate(certificates, sk_CRYPTO_BUFFER_value(chain, i))) {
      return PeerFault{fmt::format("the certificate of {} cannot be read: {}", who, drain_errors()),
                       SSL_AD_BAD_CERTIFICATE};
    }
  }
  if (length == 0) return PeerFault{fmt::format("{} showed no certificate", who), SSL_AD_CERTIFICATE_REQUIRED};

  const auto verification = verification_of(roots, certificates);
  bool prepared = verification != nullptr;
  if (prepared && name) {
    X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(verification.get());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    prepared = X509_VERIFY_PARAM_set1_host(parameters, name->text().data(), name->text().size()) == 1;
  }
  if (!prepared) return PeerFault{drain_errors(), SSL_AD_INTERNAL_ERROR};
  const bool trusted = X509_verify_cert(verification.get()) == 1;
  drain_errors();
  if (trusted) return std::nullopt;
  const int error = X509_STORE_CTX_get_error(verification.get());
  return PeerFault{
      fmt::format("the certificate of {} is not trusted: {}", who, X509_verify_cert_error_string(error)),
      static_cast<std::uint8_t>(SSL_alert_from_verify_result(error))};
}

ChainEnd follow_chain(X509_STORE& roots, const Chain& chain, WallTime at) {
  Certificates certificates(sk_X509_new_null());
  for (const auto& certificate : chain) {
    if (!add_certificate(certificates, certificate.get())) {
      drain_errors();
      return ChainEnd::Refused;
    }
  }
  if (chain.empty()) return ChainEnd::Refused;
  const auto verification = verification_of(roots, certificates);
  if (verification) X509_STORE_CTX_set_time(verification.get(), 0, at.time_since_epoch().count());
  const bool trusted = verification && X509_verify_cert(verification.get()) == 1;
  drain_errors();
  if (trusted) return ChainEnd::Anchor;
  switch (verification ? X509_STORE_CTX_get_error(verification.get()) : X509_V_ERR_UNSPECIFIED) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: return ChainEnd::Nowhere;
    default: return ChainEnd::Refused;
  }
}

}  // namespace postern::tls
