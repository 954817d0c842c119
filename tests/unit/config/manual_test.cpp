// man/postern.toml.5 documents exactly the keys of keys.cpp, with the types and defaults that stand there.
#include <fmt/format.h>

#include <fstream>
#include <map>
#include <string>

#include "config/keys.h"
#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern::config;

namespace {

/// `.It Va limits.errors` → the line behind it, which says what kind of value the key takes.
std::map<std::string, std::string> documented_keys() {
  constexpr std::string_view item = ".It Va ";
  std::map<std::string, std::string> found;
  std::ifstream page(POSTERN_SOURCE_ROOT "/man/postern.toml.5");
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with(item)) continue;
    const std::string name = line.substr(item.size());
    INFO(name);
    CHECK_FALSE(found.contains(name));
    std::getline(page, found[name]);
  }
  return found;
}

std::string expected_line(const Key& key) {
  return fmt::format("{}, {}{}{}.", key.type, key.fallback == "required" ? "" : "default ", key.fallback,
                     key.change == Change::Restart ? "; needs a restart" : "");
}

}  // namespace

TEST_CASE("the manual page has every key, and no other") {
  auto documented = documented_keys();
  for (const Key& key : keys()) {
    INFO(key.name);
    CHECK(documented[std::string(key.name)] == expected_line(key));
    documented.erase(std::string(key.name));
  }
  for (const auto& left : documented) {
    INFO(left.first);
    CHECK(documented.empty());
  }
}

TEST_CASE("the first example of the manual page is a configuration without warnings") {
  std::ifstream page(POSTERN_SOURCE_ROOT "/man/postern.toml.5");
  std::string example;
  bool inside = false;
  for (std::string line; std::getline(page, line) && line != ".Ed";) {
    if (inside) example += line + "\n";
    inside = inside || line.starts_with(".Bd -literal");
  }
  const Parsed parsed = parse(example);
  CHECK(rendered(parsed) == "");
  REQUIRE(parsed.config);
  CHECK(parsed.config->run.domains.size() == 1);
}
