#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;
using namespace std::chrono_literals;

TEST_CASE("DNS servers with a port and without, and the switches of what is found out about clients") {
  const Parsed parsed = parse(std::string(minimal) +
                              "[dns]\nservers = [\"127.0.0.1:5353\", \"::1\", \"[::1]:54\"]\nreverse = false\n"
                              "[timeouts]\nreverse_dns = \"500ms\"\n"
                              "[score]\nenabled = false\nretention = \"24h\"\nsenders = 10\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  const auto endpoint = [](const char* text) { return Endpoint::parse(text).value(); };
  CHECK(parsed.config->start.dns_servers ==
        std::vector{endpoint("127.0.0.1:5353"), endpoint("[::1]:53"), endpoint("[::1]:54")});
  CHECK_FALSE(parsed.config->run.reverse_dns);
  CHECK(parsed.config->run.reverse_dns_within == 500ms);
  CHECK(parsed.config->run.score == report::ScoreSettings{.enabled = false, .retention = 24h, .senders_max = 10});
}

TEST_CASE("the defaults of [dns] and [score] are those of the manual") {
  const Parsed parsed = parse(std::string(minimal));
  REQUIRE(parsed.config);
  CHECK(parsed.config->start.dns_servers.empty());
  CHECK(parsed.config->run.reverse_dns);
  CHECK(parsed.config->run.reverse_dns_within == 3s);
  CHECK(parsed.config->run.score == report::ScoreSettings{.enabled = true, .retention = 168h, .senders_max = 5000});
}

TEST_CASE("wrong [dns] and [score]") {
  CHECK(complaints_after("[dns]\nservers = [\"resolver.example\"]\nserver = 1\n[score]\nretention = \"30d\"\nsenders = 1\n") ==
        "p.toml:16:12: dns.servers: expected addresses such as \"127.0.0.1\" or \"[::1]:5353\", found "
        "\"resolver.example\"\n"
        "p.toml:17:1: dns.server: there is no such key; did you mean \"servers\"?\n"
        "p.toml:19:13: score.retention: expected a duration from \"1h\" to \"7d\", found \"30d\"\n"
        "p.toml:20:11: score.senders: expected an integer from 10 to 100000, found 1\n");
}
