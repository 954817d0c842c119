#include "tls/leaf_facts.h"

#include <functional>

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::tls;

namespace {

using Change = std::function<void(X509*)>;
using Octets = bssl::UniquePtr<CRYPTO_BUFFER>;

void add(X509_NAME* name, int nid, int type, std::string_view value) {
  REQUIRE(X509_NAME_add_entry_by_NID(name, nid, type, reinterpret_cast<const std::uint8_t*>(value.data()),
                                     static_cast<int>(value.size()), -1, 0) == 1);
}

/// A certificate as BoringSSL writes it, after `change`.
Octets certificate(const Change& change) {
  const test::TestKey key;
  const bssl::UniquePtr<X509> made(X509_new());
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_TIME_set(X509_getm_notBefore(made.get()), 1'700'000'000);
  ASN1_TIME_set(X509_getm_notAfter(made.get()), 1'800'000'000);
  X509_set_pubkey(made.get(), key.get());
  add(X509_get_issuer_name(made.get()), NID_commonName, MBSTRING_ASC, "An Issuer");
  change(made.get());
  REQUIRE(X509_sign(made.get(), key.get(), EVP_sha256()) > 0);
  std::uint8_t* der = nullptr;
  const int size = i2d_X509(made.get(), &der);
  REQUIRE(size > 0);
  const bssl::UniquePtr<std::uint8_t> owned(der);
  return Octets(CRYPTO_BUFFER_new(der, static_cast<std::size_t>(size), nullptr));
}

LeafFacts facts_of(const Change& change) {
  auto read = read_leaf(certificate(change).get(), "c.pem");
  REQUIRE(read);
  return read->facts;
}

std::string subject_of(int type, std::string_view value) {
  return facts_of([&](X509* made) { add(X509_get_subject_name(made), NID_commonName, type, value); }).subject;
}

void add_extension(X509* made, int nid, std::string_view contents) {
  const bssl::UniquePtr<ASN1_OCTET_STRING> value(ASN1_OCTET_STRING_new());
  ASN1_OCTET_STRING_set(value.get(), reinterpret_cast<const std::uint8_t*>(contents.data()), static_cast<int>(contents.size()));
  const bssl::UniquePtr<X509_EXTENSION> extension(X509_EXTENSION_create_by_NID(nullptr, nid, 1, value.get()));
  REQUIRE(X509_add_ext(made, extension.get(), -1) == 1);
}

}  // namespace

TEST_CASE("names in all kinds of strings", "[leaf_facts]") {
  using namespace std::string_view_literals;
  CHECK(subject_of(V_ASN1_UTF8STRING, "b\xc3\xbc""cher.example") == "b\\xc3\\xbccher.example");
  CHECK(subject_of(V_ASN1_PRINTABLESTRING, "mx.example") == "mx.example");
  CHECK(subject_of(V_ASN1_IA5STRING, "mx.example") == "mx.example");
  CHECK(subject_of(V_ASN1_T61STRING, "b\xfc""cher") == "b\\xc3\\xbccher");
  CHECK(subject_of(V_ASN1_BMPSTRING, "\0b\0\xfc"sv) == "b\\xc3\\xbc");
  CHECK(subject_of(V_ASN1_UNIVERSALSTRING, "\0\0\0b"sv) == "b");
}

TEST_CASE("the most specific common name, else the organization", "[leaf_facts]") {
  CHECK(facts_of([](X509* made) {
          auto* name = X509_get_subject_name(made);
          add(name, NID_organizationName, MBSTRING_ASC, "Org");
          add(name, NID_commonName, MBSTRING_ASC, "first.example");
          add(name, NID_commonName, MBSTRING_ASC, "last.example");
        }).subject == "last.example");
  const auto leaf = facts_of([](X509* made) { add(X509_get_subject_name(made), NID_organizationName, MBSTRING_ASC, "Org"); });
  CHECK(leaf.subject == "Org");
  CHECK(leaf.issuer == "An Issuer");
  CHECK(leaf.names.empty());
  CHECK(facts_of([](X509*) {}).subject == "");
}

TEST_CASE("validity before and after 2050", "[leaf_facts]") {
  const auto leaf = facts_of([](X509* made) {
    ASN1_TIME_set(X509_getm_notBefore(made), 1'700'000'000);  // a UTCTime
    ASN1_TIME_set(X509_getm_notAfter(made), 4'000'000'000);   // 2096: a GeneralizedTime
  });
  CHECK(leaf.not_before == WallTime(std::chrono::seconds(1'700'000'000)));
  CHECK(leaf.not_after == WallTime(std::chrono::seconds(4'000'000'000)));
}

TEST_CASE("other names and other extensions are passed over", "[leaf_facts]") {
  using namespace std::string_view_literals;
  const auto leaf = facts_of([](X509* made) {
    add_extension(made, NID_key_usage, "\x03\x02\x07\x80"sv);
    // an e-mail address, an IP address, a DNS name
    add_extension(made, NID_subject_alt_name, "\x30\x11\x81\x03""a@b\x87\x04\x7f\0\0\1\x82\x04""mx.x"sv);
  });
  REQUIRE(leaf.names.size() == 1);
  CHECK(leaf.names.front().text() == "mx.x");
}

TEST_CASE("a damaged subjectAltName is an error that names the file", "[leaf_facts]") {
  for (const std::string_view contents : {"\x30\x05\x82\x07mx.", "\x30\x00x", "", "\x04\x00"}) {
    const auto read = read_leaf(certificate([&](X509* made) { add_extension(made, NID_subject_alt_name, contents); }).get(), "c.pem");
    REQUIRE_FALSE(read);
    CHECK(read.error().text == "c.pem: the certificate is damaged: its subjectAltName cannot be read");
  }
}

/// Whatever one octet becomes: what is read is what BoringSSL's own parser reads, or there is an error.
TEST_CASE("certificates with one wrong octet", "[leaf_facts]") {
  const auto whole = test::TestCa().issue({.names = {"a.example", "*.b.example"}}).credential();
  const CRYPTO_BUFFER* der = whole->chain[0].get();
  const std::string octets(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(der)), CRYPTO_BUFFER_len(der));
  std::size_t good = 0;
  for (std::size_t at = 0; at < octets.size(); ++at) {
    for (const char flip : {'\x01', '\x20', '\x80'}) {
      std::string changed = octets;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      const Octets buffer(CRYPTO_BUFFER_new(reinterpret_cast<const std::uint8_t*>(changed.data()), changed.size(), nullptr));
      const auto read = read_leaf(buffer.get(), "c.pem");
      const bssl::UniquePtr<X509> theirs(X509_parse_from_buffer(buffer.get()));
      if (!read || !theirs) continue;
      ++good;
      const bssl::UniquePtr<ASN1_TIME> epoch(ASN1_TIME_set(nullptr, 0));
      int days = 0, seconds = 0;
      REQUIRE(ASN1_TIME_diff(&days, &seconds, epoch.get(), X509_get0_notAfter(theirs.get())) == 1);
      CHECK(read->facts.not_after == WallTime(std::chrono::days(days) + std::chrono::seconds(seconds)));
      const bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(theirs.get()));
      REQUIRE(key);
      CHECK(EVP_PKEY_cmp(key.get(), read->public_key.get()) == 1);
      std::size_t names = 0;
      for (const auto& name : read->facts.names) {
        names += X509_check_host(theirs.get(), name.text().data(), name.text().size(), 0, nullptr) == 1;
      }
      CHECK(names == read->facts.names.size());
    }
  }
  CHECK(good > octets.size());  // most octets are of a signature or a key
}
