#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;
using namespace std::chrono_literals;

TEST_CASE("what is remembered of recipients, and how many unknown ones a client may name") {
  const Parsed parsed = parse(std::string(minimal) +
                              "[recipients]\naccepted_for = \"10m\"\nunknown_for = \"0s\"\ncache = 7\n"
                              "catch_all_for = \"2h\"\ncatch_all_after = 1\nunknown_per_address = 0\n"
                              "unknown_per_network = 5\nunknown_window = \"1h\"\nunknown_exempt = [\"192.0.2.0/24\", \"::1\"]\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  CHECK(parsed.config->run.recipient_checks ==
        delivery::RecipientCheckSettings{
            .accepted_for = 10min, .unknown_for = 0s, .entries_max = 7, .catch_all_for = 2h, .catch_all_after = 1});
  CHECK(parsed.config->run.harvest == delivery::HarvestSettings{.unknown_per_address = 0,
                                                                .unknown_per_network = 5,
                                                                .window = 1h,
                                                                .exempt = {*Network::parse("192.0.2.0/24"),
                                                                           *Network::parse("::1")}});
}

TEST_CASE("the defaults are those of the manual") {
  const Parsed parsed = parse(std::string(minimal));
  REQUIRE(parsed.config);
  CHECK(parsed.config->run.recipient_checks == delivery::RecipientCheckSettings{});
  CHECK(parsed.config->run.harvest == delivery::HarvestSettings{});
}

TEST_CASE("wrong [recipients]") {
  CHECK(complaints_after("[recipients]\naccepted_for = 5\ncatch_all_after = 0\nunknown_exempt = \"here\"\nunknwon_for = 1\n") ==
        "p.toml:16:16: recipients.accepted_for: expected a duration from \"0ms\" to \"7d\", found 5\n"
        "p.toml:17:19: recipients.catch_all_after: expected an integer from 1 to 1000, found 0\n"
        "p.toml:18:18: recipients.unknown_exempt: expected networks such as \"192.0.2.0/24\" or \"2001:db8::/32\", found "
        "\"here\"\n"
        "p.toml:19:1: recipients.unknwon_for: there is no such key; did you mean \"unknown_for\"?\n");
}
