#include "config/source.h"

#include "tests/support/catch.h"
#include "tests/unit/config/fake_environment.h"

using namespace postern::config;

namespace {

struct Outcome {
  Source source;
  std::string diagnostics;
};

Outcome read(const FakeWorld& world) {
  const auto environment = world.environment();
  Diagnostics diagnostics;
  Outcome outcome{read_source("/etc/p.toml", environment, diagnostics), ""};
  for (const Diagnostic& diagnostic : diagnostics.sorted()) outcome.diagnostics += diagnostic.rendered() + "\n";
  return outcome;
}

std::string text_at(const Table& table, std::string_view key) {
  const Member* member = find(table, key);
  return member == nullptr ? "nothing" : std::get<std::string>(member->node.value);
}

}  // namespace

TEST_CASE("paths are relative to the file that names them") {
  CHECK(relative_to("/etc/p.toml", "conf.d/a.toml") == "/etc/conf.d/a.toml");
  CHECK(relative_to("/etc/p.toml", "/abs") == "/abs");
  CHECK(relative_to("p.toml", "a.toml") == "a.toml");
  CHECK(relative_to("sub/p.toml", "../a.toml") == "sub/../a.toml");
}

TEST_CASE("included files are merged: tables and lists grow") {
  FakeWorld world;
  world.files["/etc/p.toml"] =
      "include = \"d/*.toml\"\n[limits]\nerrors = 1\n[certificates]\nmaps = [\"a\"]\n[[domain]]\nname = \"a\"\n";
  world.files["/etc/d/1.toml"] = "[limits]\ncommands = 2\n[certificates]\nmaps = [\"b\"]\n[[domain]]\nname = \"b\"\n";
  world.files["/etc/d/2.toml"] = "include = [\"3.inc\"]\n[[domain]]\nname = \"c\"\n";
  world.files["/etc/d/3.inc"] = "hostname = \"h\"\n";
  const Outcome outcome = read(world);
  CHECK(outcome.diagnostics.empty());
  CHECK(outcome.source.complete);
  CHECK(outcome.source.files ==
        std::vector<std::string>{"/etc/p.toml", "/etc/d/1.toml", "/etc/d/2.toml", "/etc/d/3.inc"});
  const Table& root = outcome.source.root;
  CHECK(find(root, "include") == nullptr);
  CHECK(text_at(root, "hostname") == "h");
  CHECK(std::get<Table>(find(root, "limits")->node.value).size() == 2);
  CHECK(std::get<List>(find(std::get<Table>(find(root, "certificates")->node.value), "maps")->node.value).size() == 2);
  CHECK(std::get<List>(find(root, "domain")->node.value).size() == 3);
}

TEST_CASE("a key that stands in two files is an error that names both places") {
  FakeWorld world;
  world.files["/etc/p.toml"] = "include = \"a.toml\"\n[log]\nlevel = \"info\"\n";
  world.files["/etc/a.toml"] = "\n[log]\nlevel = \"debug\"\n";
  CHECK(read(world).diagnostics ==
        "/etc/a.toml:3:1: log.level: is set already at /etc/p.toml:3:1; remove one of the two\n");
}

TEST_CASE("includes that cannot be followed") {
  FakeWorld world;
  world.files["/etc/p.toml"] = "include = [\"absent.toml\", \"none/*.toml\", 7, \"p.toml\", \"bad.toml\"]\n";
  world.files["/etc/bad.toml"] = "x =\n";
  const Outcome outcome = read(world);
  CHECK_FALSE(outcome.source.complete);
  CHECK(outcome.diagnostics.find("/etc/p.toml:1:12: include: there is no file /etc/absent.toml\n") == 0);
  CHECK(outcome.diagnostics.find("/etc/p.toml:1:42: include: expected a path or a list of paths") != std::string::npos);
  CHECK(outcome.diagnostics.find("/etc/p.toml:1:45: include: /etc/p.toml is included twice\n") != std::string::npos);
  CHECK(outcome.diagnostics.find("/etc/bad.toml:1:") != std::string::npos);
  CHECK(outcome.diagnostics.find("none") == std::string::npos);
}

TEST_CASE("a file that cannot be read") {
  const Outcome outcome = read(FakeWorld{});
  CHECK_FALSE(outcome.source.complete);
  CHECK(outcome.diagnostics == "/etc/p.toml: cannot be read: No such file or directory\n");
}

TEST_CASE("environment variables in strings") {
  FakeWorld world;
  world.variables = {{"HOST", "mx1"}, {"EMPTY", ""}, {"LOOP", "${HOST}"}};
  world.files["/etc/p.toml"] =
      "a = \"${HOST}.example${EMPTY}.net\"\nb = [{c = \"x${LOOP}\"}]\nd = \"$${HOST} $HOST $\"\n";
  const Outcome outcome = read(world);
  CHECK(outcome.diagnostics.empty());
  const Table& root = outcome.source.root;
  CHECK(text_at(root, "a") == "mx1.example.net");
  CHECK(text_at(std::get<Table>(std::get<List>(find(root, "b")->node.value)[0].value), "c") == "x${HOST}");
  CHECK(text_at(root, "d") == "${HOST} $HOST $");
}

TEST_CASE("a variable that is not set is an error") {
  FakeWorld world;
  world.files["/etc/p.toml"] = "[log]\nlevel = \"${ABSENT}\"\nformat = \"${\"\n";
  CHECK(read(world).diagnostics ==
        "/etc/p.toml:2:9: log.level: ${ABSENT}: there is no such environment variable (for a plain \"${\" write "
        "\"$${\")\n"
        "/etc/p.toml:3:10: log.format: ${}: there is no such environment variable (for a plain \"${\" write "
        "\"$${\")\n");
}

TEST_CASE("a key with hundreds of dots does not reach the parser") {
  FakeWorld world;
  std::string dots = "a";
  for (int i = 0; i < 500; ++i) dots += ".a";
  world.files["/etc/p.toml"] = dots + " = 1\n";
  CHECK(read(world).diagnostics == "/etc/p.toml: is no configuration: too large, or keys with hundreds of dots\n");
  world.files["/etc/p.toml"] = "a = \"" + dots + "\" # " + dots + "\n";
  CHECK(read(world).diagnostics.empty());
}
