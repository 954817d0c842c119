#include "certs/loader.h"

#include <fmt/format.h>

#include <optional>
#include <set>

#include "tests/support/catch.h"
#include "tests/unit/certs/loader_bench.h"

using namespace postern;
using namespace postern::certs;
using test::ca;
using test::issue;
using test::second;
using Strings = std::vector<std::string>;
using Bench = test::LoaderBench;
using test::sorted;

TEST_CASE("of a folder with many certificates only what was touched is looked at", "[touched]") {
  Bench bench;
  const test::TestKey key;
  const auto put = [&](const std::string& name) {
    bench.files.put("/flat/" + name + ".pem", ca().issue({.names = {name + ".example"}, .key = key}).combined_pem());
  };
  for (int i = 0; i < 100; ++i) put(fmt::format("n{}", i));
  bench.settings.directories = {"/flat"};
  REQUIRE(bench.load().snapshot->name_count() == 100);
  bench.files.reads();
  bench.files.listings();
  const auto touch = [&](std::optional<std::set<std::string>> names) {
    bench.last = bench.loader.load_touched({{"/flat", std::move(names)}}, bench.now);
  };
  const Strings flat{"/flat"}, none;

  SECTION("files that take the place of others, by a name that is gone again") {
    put("n7");
    put("n8");
    touch({{"n7.pem", "n7.pem.new"}});
    CHECK(sorted(bench.last.changes.renewed) == Strings{"n7.example"});
    CHECK(bench.files.reads() == Strings{"/flat/n7.pem"});
    CHECK(bench.files.listings() == none);
    CHECK(sorted(bench.load().changes.renewed) == Strings{"n8.example"});
  }
  SECTION("one that is broken keeps its last good certificate") {
    bench.files.put("/flat/n7.pem", "nothing");
    touch({{"n7.pem"}});
    CHECK(bench.has_fault("/flat/n7.pem"));
    CHECK(bench.served("n7.example") == "/flat/n7.pem");
    CHECK(bench.files.listings() == none);
    put("n7");
    touch({{"n7.pem"}});
    CHECK(sorted(bench.last.changes.renewed) == Strings{"n7.example"});
    CHECK(bench.last.standing.empty());
  }
  SECTION("what came and went") {
    touch({{"x.new", "y.new"}});
    CHECK_FALSE(bench.last.anything_changed);
    CHECK(bench.files.listings() == none);
    CHECK(bench.files.reads() == none);
  }
  SECTION("a new file") {
    put("other");
    put("n7");
    touch({{"other.pem", "n7.pem"}});
    CHECK(sorted(bench.last.changes.added) == Strings{"other.example"});
    CHECK(sorted(bench.last.changes.renewed) == Strings{"n7.example"});
    CHECK(bench.files.listings() == flat);
  }
  SECTION("one that is gone, and comes back before it counts") {
    bench.files.remove("/flat/n7.pem");
    touch({{"n7.pem"}});
    CHECK(bench.files.listings() == flat);
    REQUIRE(bench.last.look_again);
    put("n7");
    touch({{"n7.pem"}});
    CHECK(bench.files.listings() == flat);
    CHECK(sorted(bench.last.changes.renewed) == Strings{"n7.example"});
    bench.now += 2 * second;
    CHECK_FALSE(bench.loader.load_changed(flat, bench.now).anything_changed);
  }
  SECTION("nobody knows what it was") {
    put("n7");
    touch(std::nullopt);
    CHECK(sorted(bench.last.changes.renewed) == Strings{"n7.example"});
    CHECK(bench.files.listings() == flat);
  }
  SECTION("a map has to do with it, too") {
    bench.files.put("/etc/map", "m.example /flat/n9.pem\n");
    bench.settings.maps = {"/etc/map"};
    bench.load();
    bench.files.listings();
    put("n9");
    touch({{"n9.pem"}});
    CHECK(bench.last.changes.renewed.size() == 2);
    CHECK(bench.files.listings() == flat);
  }
}

TEST_CASE("a folder with few certificates is listed, whatever was touched", "[touched]") {
  Bench bench;
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.settings.directories = {"/live"};
  bench.load();
  bench.files.listings();
  bench.files.put_pair("/live/a.example", issue({"a.example"}));
  bench.last = bench.loader.load_touched({{"/live/a.example", {{"fullchain.pem", "privkey.pem"}}}}, bench.now);
  CHECK(sorted(bench.last.changes.renewed) == Strings{"a.example"});
  CHECK(bench.files.listings() == Strings{"/live/a.example"});
  bench.last = bench.loader.load_touched({{"/elsewhere", {{"x"}}}}, bench.now);
  CHECK_FALSE(bench.last.anything_changed);
}
