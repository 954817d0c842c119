#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

namespace {

std::vector<std::string> texts(const std::vector<DnsName>& names) {
  std::vector<std::string> made;
  for (const DnsName& name : names) made.push_back(name.text());
  return made;
}

}  // namespace

TEST_CASE("domains, their MX names, and files of domains") {
  FakeWorld world;
  world.files["lists/d.txt"] = "# customers\nOne.Example\n\n  two.example  # the second\r\nb\xc3\xbc" "cher.example";
  const Parsed parsed = parse(std::string(minimal) +
                                  "[[domain]]\nfile = \"lists/d.txt\"\nmx = \"mx.{domain}.cust.example\"\n"
                                  "backend = \"store\"\n"
                                  "[[domain]]\nname = \"last.example\"\nmx = [\"mx1.example\", \"mx2.example\"]\n"
                                  "backend = \"store\"\n",
                              world);
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const RunConfig& run = parsed.config->run;
  REQUIRE(run.domains.size() == 5);
  CHECK(run.domains[0].name->text() == "example.com");
  CHECK(run.domains[0].backend == "store");
  CHECK(run.domains[0].mx.empty());
  CHECK(run.domains[1].name->text() == "one.example");
  CHECK(texts(run.domains[1].mx) == std::vector<std::string>{"mx.one.example.cust.example"});
  CHECK(run.domains[2].name->text() == "two.example");
  CHECK(run.domains[3].name->text() == "xn--bcher-kva.example");
  CHECK(run.domains[3].backend == "store");
  CHECK(texts(run.domains[4].mx) == std::vector<std::string>{"mx1.example", "mx2.example"});
  CHECK(texts(run.certificates.declared) ==
        std::vector<std::string>{"mx.one.example.cust.example", "mx.two.example.cust.example",
                                 "mx.xn--bcher-kva.example.cust.example", "mx1.example", "mx2.example"});
}

TEST_CASE("the null MX stands alone, needs no backend, and is no name that wants a certificate") {
  const Parsed parsed = parse(std::string(minimal) + "[[domain]]\nname = \"silent.example\"\nmx = [\".\"]\n");
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  CHECK(parsed.config->run.domains.at(1).null_mx);
  CHECK(parsed.config->run.domains.at(1).mx.empty());
  CHECK(parsed.config->run.certificates.declared.empty());
  const std::string both = "[[domain]]\nname = \"a.example\"\nbackend = \"store\"\nmx = [\"mx.a.example\", \".\"]\n";
  CHECK(complaints_after(both).find("domain.mx: expected host names") != std::string::npos);
  const std::string everything =
      "[[domain]]\nname = \"*\"\nbackend = \"store\"\nrelay_everything = true\nmx = \".\"\n";
  CHECK(complaints_after(everything).find("domain.mx: expected host names") != std::string::npos);
}

TEST_CASE("the catch-all domain must be confirmed") {
  const std::string catch_all = "[[domain]]\nname = \"*\"\nbackend = \"store\"\n";
  CHECK(complaints_after(catch_all).starts_with("p.toml:16:8: domain.name: \"*\" takes mail for every domain"));
  CHECK(complaints_after(catch_all + "relay_everything = false\n").find("open relay") != std::string::npos);
  const Parsed parsed = parse(minimal + catch_all + "relay_everything = true\n");
  REQUIRE(parsed.config);
  CHECK(parsed.diagnostics.empty());
  CHECK_FALSE(parsed.config->run.domains.at(1).name);
  CHECK(complaints_after("[[domain]]\nname = \"a.example\"\nbackend = \"store\"\nrelay_everything = true\n") ==
        "warning: p.toml:18:1: domain.relay_everything: means nothing except with name = \"*\"\n");
}

TEST_CASE("wrong domains") {
  CHECK(complaints_after("[[domain]]\n") ==
        "p.toml:15:1: domain.backend: is missing: the name of the [[backend]] that takes the mail of this domain\n"
        "p.toml:15:1: domain: needs either name = \"example.com\" or file = \"domains.txt\", and not both\n");
  CHECK(complaints_after("[[domain]]\nname = \"Example.COM\"\nbackend = \"stroe\"\n") ==
        "p.toml:16:8: domain.name: the domain \"example.com\" stands already at p.toml:13:8; remove one of the two\n"
        "p.toml:17:11: domain.backend: there is no [[backend]] with name = \"stroe\"; did you mean \"store\"?\n");
  CHECK(complaints_after("[[domain]]\nname = \"a@b\"\nbackend = \"store\"\n[[domain]]\nname = \"c.example\"\n"
                         "backend = \"store\"\nmx = [\"mx {domain}\"]\n") ==
        "p.toml:16:8: domain.name: expected a domain such as \"example.com\", found \"a@b\"\n"
        "p.toml:21:7: domain.mx: expected host names such as \"mx.example.com\" or \"mx.{domain}\", found "
        "\"mx c.example\"\n");
}

TEST_CASE("errors in a file of domains have its lines") {
  FakeWorld world;
  world.files["d.txt"] = "one.example\n  not a domain\none.example\n";
  const std::string section = "[[domain]]\nfile = \"d.txt\"\nbackend = \"store\"\n";
  CHECK(complaints_after(section, world) ==
        "d.txt:2:3: domain.file: expected a domain such as \"example.com\", found \"not a domain\"\n"
        "d.txt:3:1: domain.file: the domain \"one.example\" stands already at d.txt:1:1; remove one of the two\n");
  CHECK(complaints_after(section) == "p.toml:16:8: domain.file: d.txt cannot be read: No such file or directory\n");
}

TEST_CASE("a file that is no list of domains is not complained of line by line") {
  FakeWorld world;
  for (int i = 0; i < 1000; ++i) world.files["d.txt"] += "?\n";
  const Parsed parsed = parse(std::string(minimal) + "[[domain]]\nfile = \"d.txt\"\nbackend = \"store\"\n", world);
  CHECK(parsed.diagnostics.size() == 11);
  CHECK(rendered(parsed).find("d.txt:10:1: 10 bad lines: the rest of the file was not read\n") !=
        std::string::npos);
}

TEST_CASE("a postmaster whose mail has no way to go is warned of") {
  CHECK(complaints("postmaster = \"p@example.com\"\n").empty());
  CHECK(complaints("postmaster = \"p@other.example\"\n") ==
        "warning: p.toml:1:1: postmaster: no [[domain]] is \"other.example\", so that mail to postmaster has no way to "
        "go\n");
}

TEST_CASE("MTA-STS policies: of one domain, shared by many, and filled for each") {
  FakeWorld world;
  world.files["d.txt"] = "one.example\ntwo.example\n";
  const Parsed parsed = parse(std::string(minimal) +
                                  "[[domain]]\nname = \"own.example\"\nmx = [\"mx.own.example\"]\nbackend = \"store\"\n"
                                  "mta_sts = { mode = \"enforce\", max_age = \"1d\", mx = [\"*.own.example\"] }\n"
                                  "[[domain]]\nfile = \"d.txt\"\nmx = \"mx.{domain}\"\nbackend = \"store\"\nmta_sts = {}\n"
                                  "[[domain]]\nname = \"gone.example\"\nbackend = \"store\"\n"
                                  "mta_sts = { mode = \"none\" }\n",
                              world);
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const mtasts::PolicyTable& policies = *parsed.config->run.policies;
  CHECK(policies.size() == 4);
  CHECK(mtasts::to_text(*policies.find(*DnsName::parse("own.example"))) ==
        "version: STSv1\r\nmode: enforce\r\nmx: *.own.example\r\nmax_age: 86400\r\n");
  CHECK(mtasts::to_text(*policies.find(*DnsName::parse("two.example"))) ==
        "version: STSv1\r\nmode: testing\r\nmx: mx.two.example\r\nmax_age: 604800\r\n");
  CHECK(policies.find(*DnsName::parse("gone.example"))->mode == mtasts::Mode::None);
  CHECK(policies.find(*DnsName::parse("example.com")) == nullptr);
  const auto declared = texts(parsed.config->run.certificates.declared);
  CHECK(std::count(declared.begin(), declared.end(), "mta-sts.one.example") == 1);
}

TEST_CASE("TLSRPT: who gets the reports, of a domain and of those in a file") {
  FakeWorld world;
  world.files["d.txt"] = "one.example\n";
  const Parsed parsed = parse(std::string(minimal) +
                                  "[[domain]]\nname = \"own.example\"\nbackend = \"store\"\n"
                                  "tlsrpt = [\"tls@own.example\", \"https://reports.example/x\"]\n"
                                  "[[domain]]\nfile = \"d.txt\"\nbackend = \"store\"\ntlsrpt = \"mailto:t@own.example\"\n",
                              world);
  INFO(rendered(parsed));
  REQUIRE(parsed.config);
  const auto of = [&](std::string_view name) {
    for (const auto& domain : parsed.config->run.domains) {
      if (domain.name && domain.name->text() == name) return domain.tlsrpt ? *domain.tlsrpt : std::string("none");
    }
    return std::string("no domain");
  };
  CHECK(of("own.example") == "mailto:tls@own.example,https://reports.example/x");
  CHECK(of("one.example") == "mailto:t@own.example");
  CHECK(of("example.com") == "none");
  CHECK(complaints_after("[[domain]]\nname = \"a.example\"\nbackend = \"store\"\ntlsrpt = \"a,b@c.example\"\n")
            .find("domain.tlsrpt: expected a mail address") != std::string::npos);
}

TEST_CASE("wrong MTA-STS policies") {
  const std::string head = std::string("[[domain]]\nbackend = \"store\"\n");
  CHECK(complaints_after(head + "name = \"a.example\"\nmta_sts = { mode = \"enforce\" }\n").find(
            "domain.mta_sts: a policy names the MX hosts") != std::string::npos);
  CHECK(complaints_after(head + "name = \"a.example\"\nmx = \"mx.a.example\"\nmta_sts = { mode = \"strict\" }\n")
            .find("domain.mta_sts.mode: expected ") != std::string::npos);
  CHECK(complaints_after(head + "name = \"a.example\"\nmx = \"mx.a.example\"\nmta_sts = { max_age = \"2w\", mx = \"*.*.x\" }\n")
            .find("domain.mta_sts.mx: expected host names") != std::string::npos);
  CHECK(complaints_after(head + "name = \"*\"\nrelay_everything = true\nmx = \"mx.a.example\"\nmta_sts = {}\n")
            .find("domain.mta_sts: \"*\" is no domain that could have a policy") != std::string::npos);
}
