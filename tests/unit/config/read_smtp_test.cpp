#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("SMTP settings, limits, time limits and the log") {
  const Parsed parsed =
      parse(std::string(minimal) +
            "[smtp]\nsmuggling = \"normalize\"\nsmuggling_exempt = [\"192.0.2.0/24\", \"2001:db8::/32\"]\nstrict = true\n"
            "spill_at = \"64KiB\"\nspill_dir = \"/spill\"\n"
            "[limits]\nmessage_size = \"10MB\"\nrecipients = 200\nconnections = 300\nconnections_per_address = 40\n"
            "connections_per_network = 60\nmessage_memory = \"64MiB\"\nspill_space = \"1GB\"\n"
            "errors = 5\ncommands = 60\nunknown_commands = 3\ntransactions = 8\ndata_rate = \"1KiB\"\ncommand_length = 1024\nline_length = 2000\npipeline_depth = 7\n"
            "[timeouts]\ncommand = \"1m\"\ndata = \"2m\"\nhandshake = \"3s\"\ndrain = \"0s\"\nfinal = \"4m\"\n"
            "[log]\nlevel = \"debug\"\nformat = \"json\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  const RunConfig& run = parsed.config->run;
  CHECK(run.smtp.smuggling == smtp::Smuggling::Normalize);
  CHECK(run.smtp.smuggling_exempt ==
        std::vector<Network>{*Network::parse("192.0.2.0/24"), *Network::parse("2001:db8::/32")});
  CHECK(run.smtp.strict);
  CHECK(run.spill_at == 65536);
  CHECK(run.spill_dir == "/spill");
  CHECK(run.smtp.limits.message_octets_max == 10'000'000);
  CHECK(run.smtp.limits.recipients_max == 200);
  CHECK(run.smtp.limits.unknown_commands_max == 3);
  CHECK(run.smtp.limits.transactions_max == 8);
  CHECK(run.smtp.limits.data_octets_per_second_min == 1024);
  CHECK(run.connection_limits.connections == 300);
  CHECK(run.connection_limits.connections_per_address == 40);
  CHECK(run.connection_limits.connections_per_network == 60);
  CHECK(run.message_memory_max == 64 * 1024 * 1024);
  CHECK(run.spill_octets_max == 1'000'000'000);
  CHECK(run.smtp.limits.errors_max == 5);
  CHECK(run.smtp.limits.commands_max == 60);
  CHECK(run.smtp.limits.command_line_octets_max == 1024);
  CHECK(run.smtp.limits.text_line_octets_max == 2000);
  CHECK(run.smtp.limits.pipeline_depth == 7);
  CHECK(run.smtp.timeouts.command == std::chrono::minutes(1));
  CHECK(run.smtp.timeouts.data == std::chrono::minutes(2));
  CHECK(run.smtp.timeouts.handshake == std::chrono::seconds(3));
  CHECK(run.drain == Duration::zero());
  CHECK(run.final_deadline == std::chrono::minutes(4));
  CHECK(run.log.level == LogLevel::Debug);
  CHECK(run.log.format == LogFormat::Json);
}

TEST_CASE("wrong limits say their range") {
  CHECK(complaints_after("[limits]\nrecipients = \"many\"\ncommand_length = 100\nmessage_size = \"-1\"\n") ==
        "p.toml:16:14: limits.recipients: expected an integer from 1 to 100000, found \"many\"\n"
        "p.toml:17:18: limits.command_length: expected a size from 512 to 65536 octets, such as \"64KiB\" or \"50MB\", "
        "found 100\n"
        "p.toml:18:16: limits.message_size: expected a size from 1024 to 1099511627776 octets, such as \"64KiB\" or "
        "\"50MB\", found \"-1\"\n");
  CHECK(complaints_after("[timeouts]\ncommand = 300\ndata = \"2h\"\n") ==
        "p.toml:16:11: timeouts.command: expected a duration from \"1s\" to \"1h\", found 300\n"
        "p.toml:17:8: timeouts.data: expected a duration from \"1s\" to \"1h\", found \"2h\"\n");
  CHECK(complaints_after("[smtp]\nsmuggling_exempt = \"everyone\"\n") ==
        "p.toml:16:20: smtp.smuggling_exempt: expected networks such as \"192.0.2.0/24\" or \"2001:db8::/32\", found "
        "\"everyone\"\n");
}

TEST_CASE("limits that are possible and odd are warned of") {
  const std::string said = complaints_after(
      "[limits]\nmessage_size = 2000\nrecipients = 50\nconnections = 10\nconnections_per_address = 20\n"
      "line_length = 500\n[timeouts]\nfinal = \"15m\"\n");
  CHECK(said ==
        "warning: p.toml:16:1: limits.message_size: below the 64 KiB that RFC 5321 section 4.5.3.1.7 asks for\n"
        "warning: p.toml:17:1: limits.recipients: below the 100 that RFC 5321 section 4.5.3.1.8 asks for\n"
        "warning: p.toml:19:1: limits.connections_per_address: more than limits.connections (10), so that it limits "
        "nothing\n"
        "warning: p.toml:20:1: limits.line_length: below the 1000 octets that RFC 5321 section 4.5.3.1.6 asks for\n"
        "warning: p.toml:22:1: timeouts.final: senders give up after 10 minutes (RFC 5321 section 4.5.3.2.6) and send "
        "the message again, which makes duplicates: stay below\n");
}

TEST_CASE("few connections in all lower the default for one address without a warning") {
  const Parsed parsed = parse(std::string(minimal) + "[limits]\nconnections = 10\n");
  CHECK(parsed.diagnostics.empty());
  CHECK(parsed.config->run.connection_limits.connections_per_address == 10);
}

TEST_CASE("which extensions are offered") {
  CHECK_FALSE(parse(minimal).config.value().run.offer);
  const auto none = parse(std::string(minimal) + "[smtp]\noffer = []\n");
  REQUIRE(none.config);
  CHECK(none.config->run.offer == smtp::Extensions{});
  const auto some = parse(std::string(minimal) + "[smtp]\noffer = [\"dsn\", \"binarymime\"]\n");
  REQUIRE(some.config);
  smtp::Extensions expected;
  expected.dsn = expected.binarymime = expected.chunking = true;
  CHECK(some.config->run.offer == expected);
  CHECK(complaints_after("[smtp]\noffer = [\"dsn\", \"starttls\"]\n") ==
        "p.toml:16:17: smtp.offer: expected \"smtputf8\", \"chunking\", \"binarymime\", \"dsn\", \"prdr\", \"limits\" or "
        "\"requiretls\", found \"starttls\"\n");
}
