#include "config/from_toml.h"

#include "config/keys.h"
#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern;
using namespace postern::config;

TEST_CASE("the minimal configuration is one, without warnings") {
  const Parsed parsed = parse(minimal);
  CHECK(rendered(parsed).empty());
  REQUIRE(parsed.config);
  CHECK(parsed.config->files == std::vector<std::string>{"p.toml"});
}

TEST_CASE("unknown keys are errors with a suggestion") {
  CHECK(complaints("hostnme = \"a\"\n[limit]\nerrors = 1\n[log]\nmessage_size = 1\nformat.x = 1\n") ==
        "p.toml:1:1: hostnme: there is no such key; did you mean \"hostname\"?\n"
        "p.toml:2:2: limit: there is no such key; did you mean \"limits\"?\n"
        "p.toml:5:1: log.message_size: there is no such key; did you mean \"limits.message_size\"?\n"
        "p.toml:6:1: log.format: expected \"text\" or \"json\", found a table\n"
        "p.toml:6:8: log.format.x: there is no such key\n");
  CHECK(complaints("[[visitor]]\nsni = \"a\"\n") == "p.toml:1:3: visitor: there is no such key\n");
}

TEST_CASE("all errors are reported, in order, and there is no configuration then") {
  const Parsed parsed = parse(std::string("workers = -1\nhostname = 7\n") + minimal + "[log]\nlevel = \"loud\"\n");
  CHECK_FALSE(parsed.config);
  CHECK(rendered(parsed) ==
        "p.toml:1:11: workers: expected an integer from 0 to 1024, found -1\n"
        "p.toml:2:12: hostname: expected a string that is not empty, found 7\n"
        "p.toml:18:9: log.level: expected \"error\" or \"warning\" or \"info\" or \"debug\", found \"loud\"\n");
}

TEST_CASE("a syntax error is not followed by complaints about what is missing behind it") {
  const Parsed parsed = parse("hostname = \n");
  CHECK_FALSE(parsed.config);
  CHECK(parsed.diagnostics.size() == 1);
  CHECK(parsed.diagnostics[0].line == 1);
}

TEST_CASE("a configuration spread over files") {
  FakeWorld world;
  world.files["conf.d/1.toml"] = "[[domain]]\nname = \"one.example\"\nbackend = \"store\"\n";
  world.files["conf.d/2.toml"] = "[[domain]]\nname = \"one.example\"\nbackend = \"absent\"\n";
  CHECK(complaints("include = \"conf.d/*.toml\"\n", world) ==
        "conf.d/2.toml:2:8: domain.name: the domain \"one.example\" stands already at conf.d/1.toml:2:8; remove one of "
        "the two\n"
        "conf.d/2.toml:3:11: domain.backend: there is no [[backend]] with name = \"absent\"\n");
  world.files.erase("conf.d/2.toml");
  const Parsed parsed = parse(std::string("include = \"conf.d/*.toml\"\n") + minimal, world);
  REQUIRE(parsed.config);
  CHECK(parsed.config->files == std::vector<std::string>{"p.toml", "conf.d/1.toml"});
  CHECK(parsed.config->run.domains.size() == 2);
}

TEST_CASE("each known key is read by something: a value of the wrong type is noticed") {
  for (const Key& key : keys()) {
    if (key.name == "include") continue;  // source.cpp takes it out of the tree
    std::string name(key.name);
    if (const auto at = name.find("ADDRESS"); at != std::string::npos) name.replace(at, 7, "\"192.0.2.1\"");
    const auto dot = name.find('.');
    const std::string section = name.substr(0, dot);
    const bool in_list = section == "listen" || section == "certificate" || section == "backend" ||
                         section == "domain" || section == "route";
    std::string text = name + " = 1979-05-27\n";
    if (dot != std::string::npos) {
      text = (in_list ? "[[" + section + "]]\n" : "[" + section + "]\n") + name.substr(dot + 1) + " = 1979-05-27\n";
    }
    INFO(text);
    // What is for pass-through only is read only there.
    const std::string passed = section == "backend" ? text + "deliver = \"smtp-proxy\"\n" : text;
    CHECK((rendered(parse(text)) + rendered(parse(passed))).find("found a date or time") != std::string::npos);
  }
}
