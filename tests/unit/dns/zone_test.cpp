#include "dns/zone.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::dns;

TEST_CASE("TXT data is quoted, escaped and cut into strings of 255 octets", "[zone]") {
  CHECK(text_data("") == "\"\"");
  CHECK(text_data("v=STSv1; id=1;") == "\"v=STSv1; id=1;\"");
  CHECK(text_data("a\"b\\c") == R"("a\"b\\c")");
  CHECK(text_data("\x01\xc3\xa4") == R"("\001\195\164")");
  CHECK(text_data(std::string(255, 'a')) == '"' + std::string(255, 'a') + '"');
  CHECK(text_data(std::string(256, 'a')) == '"' + std::string(255, 'a') + "\" \"a\"");
  // 255 octets of the value, however they are written.
  CHECK(text_data(std::string(256, '"')).substr(1 + 2 * 255) == "\" \"\\\"\"");
}

TEST_CASE("lines of a zone file are absolute and in columns", "[zone]") {
  const std::vector<Record> records{{absolute(*DnsName::parse("example.com")), "MX", "10 mx.example.com."},
                                    {absolute(*DnsName::parse("_mta-sts.example.com")), "TXT", text_data("x")}};
  CHECK(zone_text(records, 3600) ==
        "example.com.          3600 IN MX    10 mx.example.com.\n"
        "_mta-sts.example.com. 3600 IN TXT   \"x\"\n");
}
