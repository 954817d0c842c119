#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("process settings") {
  const Parsed parsed = parse(std::string("hostname = \"MX1.Example.NET.\"\nworkers = 4\nstate_dir = \"/s\"\n"
                                          "control = \"\"\npostmaster = \"p@example.com\"\n") +
                              minimal);
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  CHECK(parsed.config->run.hostname == "mx1.example.net");
  CHECK(parsed.config->start.workers == 4);
  CHECK(parsed.config->start.state_dir == "/s");
  CHECK(parsed.config->start.control.empty());
  CHECK(parsed.config->run.postmaster->text() == "p@example.com");
  CHECK(parsed.config->run.listeners.at(0).hostname == "mx1.example.net");
}

TEST_CASE("wrong process settings") {
  CHECK(complaints("hostname = \"bad name\"\nworkers = 5000\npostmaster = \"nobody\"\n") ==
        "p.toml:1:12: hostname: expected a host name such as \"mx1.example.net\", found \"bad name\"\n"
        "p.toml:2:11: workers: expected an integer from 0 to 1024, found 5000\n"
        "p.toml:3:14: postmaster: expected a mail address such as \"postmaster@example.net\", found \"nobody\"\n");
}

TEST_CASE("the host name of the system is the default, if it is good enough") {
  FakeWorld world;
  CHECK(parse(minimal, world).config->run.hostname == "host.example.net");
  world.host_name = "short";
  CHECK(parse(minimal, world).config->run.hostname == "short");
  CHECK(complaints("", world).starts_with("warning: p.toml: hostname: is not set, and the system's name \"short\""));
  world.host_name = "bad name";
  CHECK_FALSE(parse(minimal, world).config);
  CHECK(complaints("", world).starts_with("p.toml: hostname: is not set, and the system's name \"bad name\""));
}

TEST_CASE("listeners") {
  const Parsed parsed = parse(std::string(minimal) +
                              "[[listen]]\naddress = [\"0.0.0.0:25\", \"[::1]:465\"]\ntls = \"implicit\"\n"
                              "hostname = \"other.example\"\ndefault_certificate = \"x\"\n"
                              "local = { \"192.0.2.1\" = { hostname = \"a.example\", default_certificate = \"a\" },"
                              " \"2001:db8::1\" = {} }\n"
                              "[[listen]]\naddress = \"127.0.0.1:2525\"\ntls = \"none\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const auto& listeners = parsed.config->run.listeners;
  REQUIRE(listeners.size() == 3);
  CHECK(listeners[0].tls == ListenerTls::Starttls);
  CHECK(listeners[0].origin == "p.toml:2:1");
  CHECK(listeners[0].default_certificate == "mx");
  CHECK(listeners[1].tls == ListenerTls::Implicit);
  CHECK(listeners[1].addresses == std::vector<Endpoint>{*Endpoint::parse("0.0.0.0:25"), *Endpoint::parse("[::1]:465")});
  CHECK(listeners[1].hostname == "other.example");
  REQUIRE(listeners[1].local.size() == 2);
  CHECK(listeners[1].local.at(*IpAddress::parse("192.0.2.1")).hostname == "a.example");
  CHECK(listeners[1].local.at(*IpAddress::parse("192.0.2.1")).default_certificate == "a");
  CHECK_FALSE(listeners[1].local.at(*IpAddress::parse("2001:db8::1")).hostname);
  CHECK(listeners[2].tls == ListenerTls::None);
  CHECK(listeners[2].default_certificate.empty());
}

TEST_CASE("the name over TLS can be the one that the client asked for") {
  const std::string listener = "[[listen]]\naddress = \"127.0.0.1:2525\"\ndefault_certificate = \"a\"\n";
  CHECK(parse(minimal + listener).config->run.listeners.at(1).greet_as == GreetAs::Hostname);
  CHECK(parse(minimal + listener + "greet_as = \"sni\"\n").config->run.listeners.at(1).greet_as == GreetAs::Sni);
  CHECK(complaints_after(listener + "greet_as = \"me\"\n").find("listen.greet_as: expected") != std::string::npos);
}

TEST_CASE("wrong listeners") {
  CHECK(complaints_after("[[listen]]\n") ==
        "p.toml:15:1: listen.default_certificate: is missing: the name or [[certificate]] id that is served when a "
        "client asks for no name, or an unknown one (only tls = \"none\" does without)\n"
        "p.toml:15:1: listen.address: is missing: one address or a list of them, such as [\"0.0.0.0:25\", "
        "\"[::]:25\"]\n");
  CHECK(complaints_after("[[listen]]\ntls = \"none\"\naddress = []\n") ==
        "p.toml:15:1: listen.address: holds no address: name at least one, or remove this [[listen]]\n");
  CHECK(complaints_after("[[listen]]\ntls = \"none\"\naddress = [\"25\", \"[::]:0\", \"[0::0]:25\"]\n") ==
        "p.toml:17:12: listen.address: expected an IP address and a port such as \"0.0.0.0:25\" or \"[::]:25\", found "
        "\"25\"\n"
        "p.toml:17:18: listen.address: expected an IP address and a port such as \"0.0.0.0:25\" or \"[::]:25\", found "
        "\"[::]:0\"\n"
        "p.toml:17:28: listen.address: the address \"[::]:25\" stands already at p.toml:3:11; remove one of the two\n");
  CHECK(complaints_after("[[listen]]\ntls = \"off\"\naddress = \"[::]:26\"\ndefault_certificate = \"a\"\n") ==
        "p.toml:16:7: listen.tls: expected \"starttls\" or \"implicit\" or \"none\", found \"off\"\n");
  CHECK(complaints_after("[[listen]]\ntls = \"none\"\naddress = \"[::]:26\"\nlocal = { \"here\" = {}, \"::1\" = {}, "
                         "\"0::1\" = { hostname = \"-\" , port = 7 } }\n") ==
        "p.toml:18:11: listen.local: expected a local IP address as the key, found \"here\"\n"
        "p.toml:18:24: listen.local: ::1 stands here twice\n"
        "p.toml:18:64: listen.local.0::1.port: there is no such key\n");
}

TEST_CASE("a configuration without a listener") {
  const std::string all = rendered(parse("hostname = \"mx.example\"\n"));
  CHECK(all.starts_with("p.toml: listen: there is no [[listen]]: add one"));
  CHECK(all.find("warning: p.toml: domain: there is no [[domain]]") != std::string::npos);
  CHECK(rendered(parse("listen = 7\n")).find("p.toml:1:10: listen: expected one or more sections [[listen]], found 7") !=
        std::string::npos);
}

TEST_CASE("listeners that speak HTTP") {
  const Parsed parsed = parse(std::string(minimal) +
                              "[[listen]]\naddress = \"[::]:443\"\nprotocol = \"mta-sts\"\ndefault_certificate = \"m\"\n"
                              "[[listen]]\naddress = \"[::]:80\"\nprotocol = \"acme\"\nwebroot = \"acme\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const auto& listeners = parsed.config->run.listeners;
  CHECK(listeners.at(1).protocol == ListenerProtocol::MtaSts);
  CHECK(listeners.at(1).tls == ListenerTls::Implicit);
  CHECK(listeners.at(2).protocol == ListenerProtocol::Acme);
  CHECK(listeners.at(2).tls == ListenerTls::None);
  CHECK(listeners.at(2).webroot == "acme");
}

TEST_CASE("listeners that cannot speak HTTP so") {
  CHECK(complaints_after("[[listen]]\naddress = \"[::]:80\"\nprotocol = \"acme\"\n")
            .find("listen.webroot: is missing") != std::string::npos);
  CHECK(complaints_after("[[listen]]\naddress = \"[::]:443\"\nprotocol = \"mta-sts\"\n")
            .find("listen.default_certificate: is missing") != std::string::npos);
  CHECK(complaints_after("[[listen]]\naddress = \"[::]:80\"\nprotocol = \"acme\"\nwebroot = \"w\"\ntls = \"starttls\"\n")
            .find("listen.tls: is for SMTP") != std::string::npos);
  CHECK(complaints_after("[[listen]]\naddress = \"[::]:70\"\nprotocol = \"gopher\"\n")
            .find("listen.protocol: expected ") != std::string::npos);
}
