#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("an admin listener is none of the others") {
  const Parsed parsed =
      parse(std::string(minimal) +
            "[[listen]]\nprotocol = \"admin\"\naddress = [\"127.0.0.1:9125\", \"[::1]:9125\", \"unix:/run/admin\"]\n"
            "expires_within = \"5d\"\n"
            "[[listen]]\nprotocol = \"admin\"\naddress = \"0.0.0.0:9126\"\ntoken_file = \"/token\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.config->run.listeners.size() == 1);
  const auto& admin = parsed.config->start.admin;
  REQUIRE(admin.size() == 2);
  CHECK(admin[0].addresses ==
        std::vector<Endpoint>{*Endpoint::parse("127.0.0.1:9125"), *Endpoint::parse("[::1]:9125")});
  CHECK(admin[0].sockets == std::vector<std::string>{"/run/admin"});
  CHECK(admin[0].expires_within == std::chrono::hours(5 * 24));
  CHECK(admin[0].token_file.empty());
  CHECK(admin[1].token_file == "/token");
}

TEST_CASE("what an admin listener may not be") {
  CHECK(complaints("[[listen]]\nprotocol = \"admin\"\naddress = \"192.0.2.1:9125\"\n")
            .find("listen.address: 192.0.2.1:9125 can be reached from elsewhere: set token_file") != std::string::npos);
  CHECK(complaints("[[listen]]\nprotocol = \"admin\"\naddress = \"unix:\"\n").find("or \"unix:PATH\", found \"unix:\"") !=
        std::string::npos);
  CHECK(complaints("[[listen]]\nprotocol = \"admin\"\n").find("listen.address") != std::string::npos);
  CHECK(complaints("[[listen]]\nprotocol = \"admin\"\naddress = \"[::1]:1\"\ntls = \"none\"\n")
            .find("listen.tls: means nothing with protocol = \"admin\"") != std::string::npos);
}
