#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("backends") {
  const Parsed parsed =
      parse(std::string(minimal) +
            "[[backend]]\nname = \"far\"\ndeliver = \"lmtp\"\nto = [\"unix:/run/l\", \"[::1]:24\", \"store.example:24\"]\n"
            "tls = \"off\"\ntimeout = { connect = \"1s\", after_dot = \"3m\" }\nrecipients = \"trust\"\n"
            "max_connections = 5\nidle = \"0s\"\n"
            "[[backend]]\nname = \"near\"\ndeliver = \"lmtp\"\nto = \"localhost:24\"\ntimeout = \"7s\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  const auto& backends = parsed.config->run.backends;
  REQUIRE(backends.size() == 3);
  CHECK(backends[0].name == "store");
  CHECK(backends[0].targets == std::vector<delivery::Target>{delivery::UnixTarget{"/run/lmtp"}});
  CHECK(backends[0].timeouts == delivery::BackendTimeouts{});
  CHECK(backends[1].targets.size() == 3);
  CHECK(backends[1].timeouts.connect == std::chrono::seconds(1));
  CHECK(backends[1].timeouts.command == std::chrono::seconds(60));
  CHECK(backends[1].timeouts.after_dot == std::chrono::minutes(3));
  CHECK(backends[1].recipients == delivery::RecipientCheck::Trust);
  CHECK(backends[1].connections_max == 5);
  CHECK(backends[1].idle_max == Duration::zero());
  CHECK(backends[2].timeouts.connect == std::chrono::seconds(7));
  CHECK(backends[2].timeouts.command == std::chrono::seconds(7));
  CHECK(backends[2].timeouts.after_dot == std::chrono::seconds(7));
}

TEST_CASE("wrong backends") {
  CHECK(complaints_after("[[backend]]\n") ==
        "p.toml:15:1: backend.name: is missing: what the [[domain]]s call it\n"
        "p.toml:15:1: backend.deliver: is missing: how mail goes there: \"lmtp\", \"smtp\" or \"smtp-proxy\"\n"
        "p.toml:15:1: backend.to: is missing: where the backend listens, such as \"unix:/run/dovecot/lmtp\" or "
        "\"[::1]:24\"\n");
  CHECK(complaints_after("[[backend]]\nname = \"store\"\ndeliver = \"lmtp\"\nto = []\n") ==
        "p.toml:15:1: backend.to: holds no target: name at least one\n"
        "p.toml:16:8: backend.name: the backend \"store\" stands already at p.toml:9:8; remove one of the two\n");
  CHECK(complaints_after("[[backend]]\nname = \"b\"\ndeliver = \"imap\"\nto = \"nowhere\"\ntimeout = 5\n") ==
        "p.toml:17:11: backend.deliver: expected \"lmtp\" or \"smtp\" or \"smtp-proxy\", found \"imap\"\n"
        "p.toml:18:6: backend.to: expected \"unix:/absolute/path\", \"address:port\" or \"host.name:port\", found "
        "\"nowhere\"\n"
        "p.toml:19:11: backend.timeout: expected a table such as { key = \"value\" }, found 5\n");
}

TEST_CASE("mail does not cross a network in clear unless it is said so in writing") {
  const std::string backend = "[[backend]]\nname = \"b\"\ndeliver = \"lmtp\"\nto = \"192.0.2.1:24\"\n";
  CHECK(complaints_after(backend) ==
        "p.toml:18:6: backend.to: 192.0.2.1:24 is not on this machine, and mail would cross the network in clear: write "
        "tls = \"starttls\" or \"implicit\" in this [[backend]], or tls = \"off\" if that network is trusted\n");
  CHECK(complaints_after(backend + "tls = \"off\"\n").empty());
  CHECK(complaints_after(backend + "tls = \"on\"\n") ==
        "p.toml:19:7: backend.tls: expected \"off\" or \"starttls\" or \"implicit\", found \"on\"\n");
}

TEST_CASE("how targets are used") {
  const Parsed parsed =
      parse(std::string(minimal) +
            "[[backend]]\nname = \"b\"\ndeliver = \"smtp\"\nto = [\"[::1]:25\", \"[::1]:26\"]\nbalance = \"hash\"\n"
            "identity = \"xforward\"\nlocal_parts = \"any\"\nmax_age = \"1m\"\nwait = \"5s\"\nmax_waiting = 7\nhealth = \"0s\"\n"
            "[[backend]]\nname = \"c\"\ndeliver = \"smtp\"\nto = \"[::1]:25\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const auto& backends = parsed.config->run.backends;
  const auto& all = backends[1];
  CHECK(all.balance == delivery::Balance::Hash);
  CHECK(all.identity == delivery::Identity::Xforward);
  CHECK(all.local_parts == delivery::LocalParts::Any);
  CHECK(all.age_max == std::chrono::minutes(1));
  CHECK(all.wait_max == std::chrono::seconds(5));
  CHECK(all.waiting_max == 7);
  CHECK(all.health_interval == Duration::zero());
  // An MTA may read more into an address than a store.
  CHECK(backends[0].local_parts == delivery::LocalParts::Any);
  CHECK(backends[2].local_parts == delivery::LocalParts::Safe);
  CHECK(backends[2].identity == delivery::Identity::Auto);
}

TEST_CASE("TLS to a backend") {
  const Parsed parsed =
      parse(std::string(minimal) +
            "[[backend]]\nname = \"b\"\ndeliver = \"smtp\"\nto = \"192.0.2.1:25\"\ntls = \"starttls\"\n"
            "tls_name = \"MX.example.net\"\ntls_ca = \"/ca.pem\"\ntls_certificate = \"/us.pem\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  const auto& backend = parsed.config->run.backends.back();
  CHECK(backend.protocol == delivery::Protocol::Smtp);
  CHECK(backend.tls == delivery::BackendTls{delivery::BackendTls::Mode::Starttls, DnsName::parse("mx.example.net"),
                                            "/ca.pem", "/us.pem", "/us.pem"});
}

TEST_CASE("wrong TLS to a backend") {
  const std::string backend = "[[backend]]\nname = \"b\"\ndeliver = \"lmtp\"\n";
  // A certificate is checked against a name, which an address is not.
  CHECK(complaints_after(backend + "to = [\"store.example:24\", \"[2001:db8::1]:24\"]\ntls = \"implicit\"\n") ==
        "p.toml:18:27: backend.to: [2001:db8::1]:24 is no host name that its certificate could be checked against: write "
        "tls_name = \"...\", the name that stands in the certificate\n");
  CHECK(complaints_after(backend + "to = \"[::1]:24\"\ntls = \"implicit\"\ntls_name = \"a b\"\ntls_key = \"k\"\n") ==
        "p.toml:15:1: backend.tls_key: needs tls_certificate, the certificate that it belongs to\n"
        "p.toml:20:12: backend.tls_name: expected a host name such as \"store.example.net\", found \"a b\"\n");
  CHECK(complaints_after(backend + "to = \"[::1]:24\"\ntls_ca = \"/ca.pem\"\n") ==
        "warning: p.toml:19:1: backend.tls_ca: means nothing without tls = \"starttls\" or \"implicit\"\n");
}

TEST_CASE("a time limit that another one cuts short is warned of") {
  CHECK(complaints_after("[timeouts]\nfinal = \"1m\"\n").empty());
  CHECK(complaints_after("[timeouts]\nfinal = \"1m\"\n[[backend]]\nname = \"b\"\ndeliver = \"lmtp\"\nto = \"[::1]:24\"\n"
                         "timeout = \"2m\"\n") ==
        "warning: p.toml:21:1: backend.timeout: after_dot (2m) is longer than timeouts.final (1m), which ends first\n");
}

TEST_CASE("backends that are passed through to") {
  const Parsed parsed = parse(std::string(minimal) +
                              "[[backend]]\nname = \"mta\"\ndeliver = \"smtp-proxy\"\nto = \"127.0.0.1:10025\"\n"
                              "identity = \"xclient\"\nconnect = \"early\"\nprofile = \"exim\"\nallow_auth = true\n"
                              "pass_extensions = [\"DELIVERBY\"]\ntrace = true\n"
                              "[[route]]\nsni = [\"mx.a.test\", \"*.b.test\"]\nbackend = \"mta\"\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  using delivery::PassThrough;
  const auto& settings = parsed.config->run.backends.back().pass_through;
  REQUIRE(settings.has_value());
  CHECK(settings->identity == PassThrough::Identity::Xclient);
  CHECK(settings->connect == PassThrough::Connect::Early);
  CHECK(settings->profile == PassThrough::Profile::Exim);
  CHECK(settings->authentication == PassThrough::Authentication::Passed);
  CHECK(settings->trace == PassThrough::Trace::Received);
  CHECK(settings->pass_extensions == std::vector<std::string>{"DELIVERBY"});
  const auto& routes = parsed.config->run.routes;
  REQUIRE(routes.size() == 2);
  CHECK(routes[0].covers == delivery::SniRoute::Covers::Name);
  CHECK(routes[1].covers == delivery::SniRoute::Covers::Subdomains);
  CHECK(routes[1].name.text() == "b.test");
}

TEST_CASE("wrong pass-through") {
  CHECK(complaints_after("[[backend]]\nname = \"b\"\ndeliver = \"smtp-proxy\"\nto = \"127.0.0.1:1\"\n") ==
        "p.toml:15:1: backend.identity: is missing: how the MTA is told who the client is: \"proxy-v2\", \"proxy-v1\" or "
        "\"xclient\"; without it every client would have the rights of this host there\n");
  CHECK(complaints_after("[[backend]]\nname = \"b\"\ndeliver = \"smtp-proxy\"\nto = \"127.0.0.1:1\"\n"
                         "identity = \"proxy-v2\"\npass_extensions = [\"xclient\"]\n") ==
        "p.toml:20:20: backend.pass_extensions: xclient cannot pass: it would let clients do what the MTA grants to us, or "
        "needs what this version cannot do\n");
  CHECK(complaints_after("[[route]]\nsni = \"*.*.x\"\nbackend = \"nowhere\"\n") ==
        "p.toml:16:7: route.sni: expected a host name, or one with \"*.\" in front of it, found \"*.*.x\"\n"
        "p.toml:17:11: route.backend: there is no [[backend]] with name = \"nowhere\"\n");
}

TEST_CASE("a file of recipients") {
  const std::string head = "[[backend]]\nname = \"b\"\ndeliver = \"lmtp\"\nto = \"unix:/run/l\"\n";
  const auto read = [&](const std::string& line) {
    const Parsed parsed = parse(std::string(minimal) + head + line);
    INFO(rendered(parsed));
    REQUIRE(parsed.config);
    return parsed.config->run.backends.back();
  };
  using Case = delivery::UserFile::LocalPartCase;
  const auto plain = read("recipients = { file = \"/etc/users.txt\" }\n");
  CHECK(plain.recipients == delivery::RecipientCheck::Listed);
  CHECK(plain.users == delivery::UserFile{"/etc/users.txt", "+", Case::Ignored});
  CHECK(read("recipients = { file = \"/u\", delimiter = \"-+\", case = \"counts\" }\n").users ==
        delivery::UserFile{"/u", "-+", Case::Counts});
  CHECK(read("[backend.recipients]\nfile = \"/u\"\ndelimiter = \"\"\n").users ==
        delivery::UserFile{"/u", "", Case::Ignored});

  CHECK(complaints_after(head + "recipients = {}\n") ==
        "p.toml:19:1: backend.recipients.file: is missing: a list of users, one a line\n");
  CHECK(complaints_after(head + "recipients = { file = \"/u\", delimiter = \"@\", case = \"yes\" }\n") ==
        "p.toml:19:41: backend.recipients.delimiter: expected one or more of !#$%&'*+-/=?^_`{|}~., found \"@\"\n"
        "p.toml:19:53: backend.recipients.case: expected \"ignored\" or \"counts\", found \"yes\"\n");
  CHECK(complaints_after(head + "recipients = \"maybe\"\n") ==
        "p.toml:19:14: backend.recipients: expected \"verify\" or \"trust\", found \"maybe\"\n");
}
