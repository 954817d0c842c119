#include "mtasts/policy.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::mtasts;

namespace {

DnsName name(std::string_view text) { return *DnsName::parse(text); }

Policy example() {
  Policy policy;
  policy.mode = Mode::Enforce;
  policy.max_age = std::chrono::hours(24 * 7);
  policy.mx = {*MxPattern::parse("mail.example.com"), *MxPattern::parse("*.example.net")};
  return policy;
}

}  // namespace

TEST_CASE("a policy as text, and back", "[policy]") {
  const std::string text = to_text(example());
  CHECK(text ==
        "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n");
  const auto parsed = parse_policy(text);
  REQUIRE(parsed);
  CHECK(*parsed == example());
}

TEST_CASE("a wildcard in a policy stands for one label", "[policy]") {
  CHECK(example().allows(name("mail.example.com")));
  CHECK(example().allows(name("MAIL.example.com.")));
  CHECK(example().allows(name("mx1.example.net")));
  CHECK_FALSE(example().allows(name("example.net")));
  CHECK_FALSE(example().allows(name("a.mx1.example.net")));
  CHECK_FALSE(example().allows(name("other.example.com")));
}

TEST_CASE("other people's policies are read leniently", "[policy]") {
  const auto parsed = parse_policy("version:STSv1\nmx:  MX.Example.ORG \nmode: testing\nnews: yes\nmode: enforce\n"
                                   "max_age: 86400\n\n");
  REQUIRE(parsed);
  CHECK(parsed->mode == Mode::Testing);  // the first counts
  CHECK(parsed->mx.front().text() == "mx.example.org");
  CHECK(parse_policy("version: STSv1\nmode: none\nmax_age: 0\n"));
}

TEST_CASE("what is no policy is refused with its line", "[policy]") {
  const auto error = [](std::string_view text) {
    const auto parsed = parse_policy(text);
    REQUIRE_FALSE(parsed);
    return parsed.error().text;
  };
  CHECK(error("") == "there is no \"version: STSv1\"");
  CHECK(error("version: STSv2\n") == "there is no \"version: STSv1\"");
  CHECK(error("<html>\n").starts_with("line 1: "));
  CHECK(error("version: STSv1\nmode: strict\nmax_age: 1\nmx: a.example\n").starts_with("mode: "));
  CHECK(error("version: STSv1\nmode: enforce\nmx: a.example\n").starts_with("max_age: "));
  CHECK(error("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 31557601\n").starts_with("max_age: "));
  CHECK(error("version: STSv1\nmode: enforce\nmx: *.*.example\nmax_age: 1\n").starts_with("line 3: mx: "));
  CHECK(error("version: STSv1\nmode: enforce\nmax_age: 1\n") == "there is no mx line");
  CHECK(error(std::string(policy_octets_max + 1, 'a')).starts_with("the policy is longer"));
}

TEST_CASE("the id changes when, and only when, the policy does", "[policy]") {
  const std::string id = policy_id(example());
  CHECK(id.size() == 32);
  CHECK(policy_id(example()) == id);
  Policy other = example();
  other.mode = Mode::Testing;
  CHECK(policy_id(other) != id);
  other = example();
  other.mx.pop_back();
  CHECK(policy_id(other) != id);
  CHECK(id_in_txt_record(txt_record(id)) == id);
}

TEST_CASE("TXT records of others", "[policy]") {
  CHECK(id_in_txt_record("v=STSv1; id=20160831085700Z;") == "20160831085700Z");
  CHECK(id_in_txt_record("v=STSv1;id=1;new=2") == "1");
  CHECK_FALSE(id_in_txt_record("id=1; v=STSv1"));
  CHECK_FALSE(id_in_txt_record("v=STSv1;"));
  CHECK_FALSE(id_in_txt_record("v=STSv1; id=1-2"));
  CHECK_FALSE(id_in_txt_record("v=STSv1; id=" + std::string(33, 'a')));
  CHECK_FALSE(id_in_txt_record("v=spf1 -all"));
  CHECK_FALSE(id_in_txt_record(""));
}
