#include "certs/inventory.h"

#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;

namespace {

using Strings = std::vector<std::string>;

struct Bench {
  test::ScriptedFiles files;
  std::unique_ptr<FileSource> source = files.source();
  ClaimTable names;
  Inventory inventory{*source, names};
  SourceSettings settings;
  WallTime now = test::test_now();

  Inventory::Look look(std::chrono::seconds later = std::chrono::seconds(0)) {
    return inventory.look(settings, now += later);
  }
  /// The files of each item, and the names that it was given.
  Strings items() const {
    Strings texts;
    for (const auto& [id, item] : inventory.items()) {
      std::string text;
      for (const auto& file : item.files) text += file + " ";
      for (const auto name : item.declared) text += "<" + std::string(names.key(name)) + ">";
      texts.push_back(text);
    }
    std::sort(texts.begin(), texts.end());
    return texts;
  }
};

}  // namespace

TEST_CASE("items of all three kinds of sources") {
  Bench bench;
  bench.files.put("/map", "m.example /m.pem\nn.example /m.pem\n");
  bench.files.put("/c/a.pem", "");
  bench.files.put("/c/sub/tls.crt", "");
  bench.settings.certificates = {{.id = "", .names = {"x.example"}, .chain = "/x.crt", .key = "/x.key", .origin = ""},
                                 {.id = "", .names = {"y.example"}, .chain = "/x.crt", .key = "/x.key", .origin = ""}};
  bench.settings.maps = {"/map"};
  bench.settings.directories = {"/c"};
  const auto look = bench.look();
  CHECK(look.maps_changed);
  CHECK(look.files_read == 1);
  CHECK(bench.items() == Strings{"/c/a.pem ", "/c/sub/tls.crt /c/sub/tls.key ", "/m.pem <m.example><n.example>",
                                 "/x.crt /x.key <x.example>", "/x.crt /x.key <y.example>"});
  CHECK(look.renamed.size() == 3);

  const auto again = bench.look();
  CHECK_FALSE(again.maps_changed);
  CHECK(again.files_read == 0);
  CHECK(again.renamed.empty());
  CHECK(again.removed.empty());
}

TEST_CASE("a folder in a folder that is gone takes its items along, and is forgotten with them") {
  Bench bench;
  bench.files.put("/c/one/two/a.pem", "");
  bench.files.put("/c/b.pem", "");
  bench.settings.directories = {"/c"};
  bench.look();
  CHECK(bench.inventory.places().size() == 4);
  bench.files.remove("/c/one");
  CHECK(bench.look().look_again == bench.now + Loader::removal_delay);
  CHECK(bench.look(Loader::removal_delay).removed.size() == 1);
  bench.look();
  CHECK(bench.items() == Strings{"/c/b.pem "});
  CHECK(bench.inventory.places().size() == 2);
}

TEST_CASE("a folder that became a dangling link is bad, not gone") {
  Bench bench;
  bench.files.put("/c/one/tls.crt", "");
  bench.files.put("/c/b.pem", "");
  bench.settings.directories = {"/c"};
  bench.look();
  bench.files.remove("/c/one");
  bench.files.put_dangling_link("/c/one");
  bench.look();
  CHECK(bench.look(Loader::removal_delay).removed.empty());
  CHECK(bench.items().size() == 2);
}

namespace {

/// A folder that was changed this long before the look.
FileState changed_before(const Bench& bench, std::chrono::nanoseconds ago, std::uint64_t inode) {
  const auto at = std::chrono::nanoseconds(bench.now.time_since_epoch()) - ago;
  return {.device = 1, .inode = inode, .size = 0, .mtime_ns = at.count(), .ctime_ns = at.count()};
}

}  // namespace

TEST_CASE("a folder is listed again only when its state has changed") {
  Bench bench;
  bench.files.put("/c/one/tls.crt", "");
  bench.files.put("/c/b.pem", "");
  bench.files.set_folder_state("/c", changed_before(bench, std::chrono::minutes(1), 1));
  bench.files.set_folder_state("/c/one", changed_before(bench, std::chrono::minutes(1), 2));
  bench.settings.directories = {"/c"};
  bench.look();
  CHECK(bench.files.listings() == Strings{"/c", "/c/one"});
  const auto same = bench.look(std::chrono::seconds(60));
  CHECK(bench.files.listings().empty());
  CHECK(same.removed.empty());
  CHECK_FALSE(same.look_again);
  CHECK(bench.items().size() == 2);

  bench.files.put("/c/c.pem", "");
  bench.files.remove("/c/b.pem");
  bench.files.set_folder_state("/c", changed_before(bench, std::chrono::seconds(30), 1));
  const auto changed = bench.look();
  CHECK(bench.files.listings() == Strings{"/c"});
  CHECK(changed.look_again);
  // What is missing stays missing in looks at a folder that is the same.
  CHECK(bench.look(Loader::removal_delay).removed.size() == 1);
  CHECK(bench.files.listings().empty());
  CHECK(bench.items() == Strings{"/c/c.pem ", "/c/one/tls.crt /c/one/tls.key "});
}

TEST_CASE("a folder that has just changed, or has a link to nothing, is listed until that is over") {
  Bench bench;
  bench.files.put("/c/a.pem", "");
  bench.files.set_folder_state("/c", changed_before(bench, std::chrono::milliseconds(3), 1));
  bench.settings.directories = {"/c"};
  for (int look = 0; look < 3; ++look) {  // at 0, 2 and 4 seconds
    bench.look(look == 0 ? std::chrono::seconds(0) : std::chrono::seconds(2));
    CHECK(bench.files.listings() == (look < 2 ? Strings{"/c"} : Strings{}));
  }
  bench.files.put_dangling_link("/c/disk");
  bench.files.set_folder_state("/c", changed_before(bench, std::chrono::minutes(1), 1));
  for (int look = 0; look < 2; ++look) {
    bench.look();
    CHECK(bench.files.listings() == Strings{"/c"});
  }
}

TEST_CASE("a folder that could not be listed is listed again, though it is as before") {
  Bench bench;
  bench.files.put("/c/a.pem", "");
  bench.files.set_folder_state("/c", changed_before(bench, std::chrono::minutes(1), 1));
  bench.settings.directories = {"/c"};
  bench.look();
  bench.files.break_path("/c", "permission denied");
  CHECK(bench.look().new_faults.size() == 1);
  CHECK(bench.inventory.faults().size() == 1);
  bench.files.mend("/c");
  bench.look();
  CHECK(bench.inventory.faults().empty());
  CHECK(bench.items().size() == 1);
}

TEST_CASE("a hinted look lists its folder, whatever its state says") {
  Bench bench;
  bench.files.put("/c/a.pem", "");
  bench.files.set_folder_state("/c", changed_before(bench, std::chrono::minutes(1), 1));
  bench.settings.directories = {"/c"};
  bench.look();
  bench.files.put("/c/b.pem", "");
  CHECK(bench.inventory.look_again_at({"/c"}, bench.now).added.size() == 1);
}

TEST_CASE("faults of places are told when they come up") {
  Bench bench;
  bench.settings.directories = {"/none"};
  bench.settings.maps = {"/no-map"};
  CHECK(bench.look().new_faults.size() == 2);
  CHECK(bench.look().new_faults.empty());
  bench.files.put("/none/a.pem", "");
  bench.files.put("/no-map", "a.example\n");
  const auto look = bench.look();
  REQUIRE(look.new_faults.size() == 1);
  CHECK(look.new_faults[0].source == "/no-map:1");
}

TEST_CASE("another order of the maps gives their items another rank") {
  Bench bench;
  bench.files.put("/map1", "a.example /1.pem\n");
  bench.files.put("/map2", "a.example /2.pem\n");
  bench.settings.maps = {"/map1", "/map2"};
  bench.look();
  bench.settings.maps = {"/map2", "/map1"};
  CHECK(bench.look().renamed.size() == 2);
  for (const auto& [id, item] : bench.inventory.items()) CHECK(item.order == (item.files[0] == "/2.pem" ? 0u : 1u));
}
