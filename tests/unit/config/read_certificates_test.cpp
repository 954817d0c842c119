#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("certificates and where they are looked for") {
  FakeWorld world;
  world.files["/etc/postern/p.toml"] = std::string(minimal) +
                                       "[[certificate]]\nchain = \"chain.pem\"\nkey = \"../key.pem\"\n"
                                       "names = [\"mx.example\", \"*.example\"]\n"
                                       "[certificates]\ndirectories = [\"/live\", \"certs\"]\nmaps = \"sni.map\"\n"
                                       "names = \"declared\"\nload = \"lazy\"\ncache = 7\n[tls]\nmin_version = \"1.3\"\ntickets = 0\n"
                                       "ticket_lifetime = \"2h\"\nticket_key_file = \"tickets\"\n";
  const Parsed parsed = from_toml("/etc/postern/p.toml", world.environment());
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const certs::SourceSettings& sources = parsed.config->run.certificates;
  REQUIRE(sources.certificates.size() == 2);
  CHECK(sources.certificates[0].id == "mx");
  CHECK(sources.certificates[0].chain == "/mx.pem");
  CHECK(sources.certificates[0].key.empty());
  CHECK(sources.certificates[0].names.empty());
  CHECK(sources.certificates[1].id.empty());
  CHECK(sources.certificates[1].chain == "/etc/postern/chain.pem");
  CHECK(sources.certificates[1].key == "/etc/postern/../key.pem");
  CHECK(sources.certificates[1].names == std::vector<std::string>{"mx.example", "*.example"});
  CHECK(sources.certificates[1].origin == "/etc/postern/p.toml:15:1");
  CHECK(sources.directories == std::vector<std::string>{"/live", "/etc/postern/certs"});
  CHECK(sources.maps == std::vector<std::string>{"/etc/postern/sni.map"});
  CHECK(sources.names == certs::Names::Declared);
  CHECK(sources.load == certs::Load::Lazy);
  CHECK(sources.cache == 7);
  CHECK(parsed.config->run.tls.min_version == tls::Version::Tls13);
  CHECK(parsed.config->run.tls.tickets == 0);
  CHECK(parsed.config->run.tls.ticket_lifetime == std::chrono::hours(2));
  CHECK(parsed.config->run.tls.ticket_key_file == "/etc/postern/tickets");
}

TEST_CASE("wrong certificates") {
  CHECK(complaints_after("[[certificate]]\nid = \"mx\"\nnames = [\"a b\", \"x.*.example\", \"*.\"]\n") ==
        "p.toml:15:1: certificate.chain: is missing: the PEM file with the certificate and its intermediates\n"
        "p.toml:16:6: certificate.id: the id \"mx\" stands already at p.toml:6:6; remove one of the two\n"
        "p.toml:17:10: certificate.names: expected host names such as \"mx.example.net\" or \"*.example.net\", found "
        "\"a b\"\n"
        "p.toml:17:17: certificate.names: expected host names such as \"mx.example.net\" or \"*.example.net\", found "
        "\"x.*.example\"\n"
        "p.toml:17:32: certificate.names: expected host names such as \"mx.example.net\" or \"*.example.net\", found "
        "\"*.\"\n");
  CHECK(complaints_after("[certificates]\ndirectories = \"/live\"\nload = \"lazy\"\nrequire_tlsa = true\n") ==
        "p.toml:15:2: certificates.require_tlsa: it needs load = \"eager\": with \"lazy\" what is served meanwhile would be "
        "read from files that have been replaced\n");
  CHECK(complaints_after("[tls]\nmin_version = 1.2\ntickets = -1\nticket_lifetime = \"8d\"\n") ==
        "p.toml:16:15: tls.min_version: expected \"1.0\" or \"1.1\" or \"1.2\" or \"1.3\", found 1.2\n"
        "p.toml:17:11: tls.tickets: expected an integer from 0 to 4, found -1\n"
        "p.toml:18:19: tls.ticket_lifetime: expected a duration from \"1m\" to \"7d\", found \"8d\"\n");
}

TEST_CASE("TLS needs a source of certificates") {
  const std::string listener = "hostname = \"a.example\"\n[[listen]]\naddress = \"[::]:25\"\n";
  CHECK(rendered(parse(listener + "default_certificate = \"mx\"\n")).find("p.toml: certificates: no source") !=
        std::string::npos);
  CHECK(parse(listener + "tls = \"none\"\n").config);
}
