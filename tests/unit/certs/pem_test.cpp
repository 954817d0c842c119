#include "certs/pem.h"

#include "tests/support/catch.h"

using namespace postern::certs;

namespace {

std::string block(const std::string& label, const std::string& body) {
  return "-----BEGIN " + label + "-----\n" + body + "\n-----END " + label + "-----\n";
}
std::string key(const std::string& body) { return block("PRIVATE KEY", body); }
std::string cert(const std::string& body) { return block("CERTIFICATE", body); }

struct Expected {
  std::string text;
  bool has_key = true, has_certificate = true;
};

void check(const std::vector<std::string>& files, const std::vector<Expected>& expected) {
  const auto groups = pem_groups({files.begin(), files.end()});
  REQUIRE(groups.size() == expected.size());
  for (std::size_t i = 0; i < groups.size(); ++i) {
    CHECK(groups[i].text == expected[i].text);
    CHECK(groups[i].has_key == expected[i].has_key);
    CHECK(groups[i].has_certificate == expected[i].has_certificate);
  }
}

}  // namespace

TEST_CASE("Postfix's order: key, leaf, issuers, next key") {
  const auto first = key("k1") + cert("l1") + cert("i1");
  const auto second = block("RSA PRIVATE KEY", "k2") + cert("l2");
  check({first + second}, {{first}, {second}});
  check({first, second}, {{first}, {second}});
}

TEST_CASE("HAProxy's order: leaf, issuers, key") {
  const auto first = cert("l1") + cert("i1") + key("k1");
  const auto second = cert("l2") + block("EC PRIVATE KEY", "k2");
  check({first + second}, {{first}, {second}});
  check({first, second}, {{first}, {second}});
}

TEST_CASE("key and chain in a file each, in either order, once or twice") {
  const auto chain = cert("l") + cert("i");
  check({key("k"), chain}, {{key("k") + chain}});
  check({chain, key("k")}, {{chain + key("k")}});
  check({key("k"), chain, key("k2"), cert("l2")}, {{key("k") + chain}, {key("k2") + cert("l2")}});
  check({chain, key("k"), cert("l2"), key("k2")}, {{chain + key("k")}, {cert("l2") + key("k2")}});
  check({key("k") + cert("l"), cert("i")}, {{key("k") + cert("l") + cert("i")}});
}

TEST_CASE("both orders in one entry") {
  check({key("k1") + cert("l1"), cert("l2") + key("k2")}, {{key("k1") + cert("l1")}, {cert("l2") + key("k2")}});
}

TEST_CASE("parameters and comments are passed over") {
  check({"Bag attributes\n" + block("EC PARAMETERS", "p") + key("k") + "text\n" + cert("l") + block("DH PARAMETERS", "d")},
        {{key("k") + cert("l")}});
}

TEST_CASE("what is missing is told") {
  check({key("k1") + key("k2") + cert("l")}, {{key("k1"), true, false}, {key("k2") + cert("l")}});
  check({cert("l")}, {{cert("l"), false, true}});
  check({"", "no PEM at all"}, {});
}

TEST_CASE("a block that does not end is kept, so that reading it fails with a reason") {
  const std::string cut = "-----BEGIN CERTIFICATE-----\nMIIB";
  check({key("k") + cut}, {{key("k") + cut + "\n"}});
}
