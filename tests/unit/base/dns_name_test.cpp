#include "base/dns_name.h"

#include "tests/support/catch.h"

using namespace postern;

TEST_CASE("host names become canonical") {
  CHECK(DnsName::parse("MX.Example.COM.")->text() == "mx.example.com");
  CHECK(DnsName::parse("xn--bcher-kva.example")->text() == "xn--bcher-kva.example");
  CHECK(DnsName::parse("_dmarc.example")->text() == "_dmarc.example");
  CHECK(DnsName::parse("localhost")->text() == "localhost");
  CHECK(DnsName::parse("3com.3")  == std::nullopt);
  CHECK(DnsName::parse("mx.example.com")->parent() == "example.com");
  CHECK(DnsName::parse("com")->parent().empty());
}

TEST_CASE("what is no host name is refused") {
  const std::string label64(64, 'a');
  std::string long_name;
  for (int i = 0; i < 5; ++i) long_name += std::string(60, 'a') + ".";
  for (const std::string& text : {std::string(""), std::string("."), std::string("a..b"), std::string(".a"), std::string("a..") ,
                                  std::string("192.0.2.1"), std::string("::1"), std::string("a b"), std::string("a/b"),
                                  std::string("../../etc"), std::string("a\0b", 3), std::string("b\xc3\xbc" "cher.example"),
                                  label64, long_name, std::string("*.example.com"), std::string("a\\x00")}) {
    CAPTURE(text);
    CHECK_FALSE(DnsName::parse(text));
  }
}

TEST_CASE("U-labels are converted to A-labels") {
  CHECK(DnsName::from_utf8("b\xc3\xbc" "cher.Example")->text() == "xn--bcher-kva.example");
  CHECK(DnsName::from_utf8("plain.example")->text() == "plain.example");
  CHECK_FALSE(DnsName::from_utf8("\xff\xfe.example"));
}
