#include "daemon/app/certificate_map.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "daemon/app/parallel.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::app;
namespace fs = std::filesystem;

namespace {

/// A folder with certificates, and the `state_dir` that one process after the other has.
struct World {
  test::TemporaryDirectory folder;
  test::TestCa ca;
  certs::SourceSettings settings;
  // Long after the files were written: their times tell changes.
  WallTime now = WallTime(std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch() + std::chrono::hours(1)));

  World() {
    settings.directories = {folder / "live"};
    settings.roots = folder / "roots.pem";
    std::ofstream(settings.roots) << ca.root_pem();
    for (const auto* name : {"a.example", "b.example", "c.example"}) put(name);
  }
  void put(const std::string& name) const {
    const auto issued = ca.issue({.names = {name}});
    const auto place = fs::path(settings.directories[0]) / name;
    fs::create_directories(place);
    std::ofstream(place / "fullchain.pem") << issued.chain_pem();
    std::ofstream(place / "privkey.pem") << issued.key_pem;
  }
  std::string state() const { return folder / "state"; }
  std::string cache() const { return folder / "state/certs/cache"; }

  struct Started {
    MapNews news;
    std::string notice;
  };
  /// A process that starts, and is quiet until its cache is on disk.
  Started start() const {
    CertificateMap map(certs::make_local_file_source(), state());
    Started started;
    started.news = map.start(settings, now, tls::KeyCheck::Claim, started.notice);
    REQUIRE(map.begin_history(now));
    const bool writes = started.news.loaded.items_read_anew > 0;
    REQUIRE(map.has_keys_to_prove() == writes);
    if (writes) fs::remove(cache());
    while (map.has_keys_to_prove()) {
      map.keep_for_next_start();  // nothing is said of keys that are only believed
      REQUIRE_FALSE(fs::exists(cache()));
      REQUIRE_FALSE(map.prove_some_keys(settings, now));
    }
    map.keep_for_next_start();
    while (writes && !fs::exists(cache())) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return started;
  }
};

std::set<std::string> names_of(const certs::Snapshot& snapshot) {
  std::set<std::string> names;
  snapshot.each([&](std::string_view key, const certs::Entry&) { names.emplace(key); });
  return names;
}

}  // namespace

TEST_CASE("the second start takes from the cache what the first has found out") {
  const World world;
  const auto cold = world.start();
  CHECK(cold.notice.empty());
  CHECK(cold.news.loaded.items_read_anew == 3);
  struct stat info{};
  REQUIRE(stat(world.cache().c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);

  const auto warm = world.start();
  CHECK(warm.notice.empty());
  CHECK(warm.news.loaded.items_read_anew == 0);
  CHECK(names_of(*warm.news.loaded.snapshot) == std::set<std::string>{"a.example", "b.example", "c.example"});

  world.put("b.example");
  CHECK(world.start().news.loaded.items_read_anew == 1);
  CHECK(world.start().news.loaded.items_read_anew == 0);
}

TEST_CASE("a cache that cannot be used costs one notice and a cold start") {
  const World world;
  (void)world.start();
  const auto whole = test::content_of(world.cache());
  for (const auto& content : {whole.substr(0, whole.size() / 2), std::string(), whole + "x", std::string("what is this?")}) {
    std::ofstream(world.cache(), std::ios::binary | std::ios::trunc) << content;
    const auto started = world.start();
    CHECK(started.notice.starts_with(world.cache() + ": is "));
    CHECK(started.notice.ends_with("; all certificates and keys are read and checked anew"));
    CHECK(started.news.loaded.items_read_anew == 3);
    CHECK(started.news.loaded.snapshot->name_count() == 3);
    CHECK(world.start().notice.empty());
  }
}

TEST_CASE("without a state folder nothing is kept") {
  const World world;
  CertificateMap map(certs::make_local_file_source(), "");
  std::string notice;
  CHECK(map.start(world.settings, world.now, tls::KeyCheck::Whole, notice).loaded.items_read_anew == 3);
  map.keep_for_next_start();
  CHECK(notice.empty());
  CHECK_FALSE(fs::exists(world.state()));
}

TEST_CASE("one goes back to a version, and ahead again, with the keys of then") {
  const World world;
  CertificateMap map(certs::make_local_file_source(), world.state());
  std::string notice;
  map.went_live(map.start(world.settings, world.now, tls::KeyCheck::Whole, notice).loaded.snapshot);
  REQUIRE(map.begin_history(world.now));
  const auto first = map.live()->version();
  const auto fingerprint = [](const certs::Snapshot& snapshot) {
    return snapshot.find_key("a.example")->ecdsa->leaf.fingerprint;
  };
  const auto of_first = fingerprint(*map.live());
  world.put("a.example");
  const auto news = map.look(world.settings, {.everywhere = true, .folders = {}}, world.now);
  CHECK(news.changes.renewed.strings() == std::vector<std::string>{"a.example"});
  map.went_live(news.loaded.snapshot);
  CHECK(map.history().list().size() == 2);

  // The key of the first version is no longer there: the name keeps what it has now.
  auto restored = map.go_back(first);
  REQUIRE(restored);
  REQUIRE(restored->missing.size() == 1);
  CHECK(restored->missing[0].starts_with("a.example: "));
  CHECK(fingerprint(*restored->snapshot) == fingerprint(*news.loaded.snapshot));
  CHECK(map.pinned() == first);
  CHECK(MapHistory(world.state() + "/certs").pinned() == first);
  map.unpin();
  CHECK(map.pinned() == 0);
  CHECK(map.go_back(99).error().text.starts_with("there is no version 99 of the certificate map"));
  CHECK(of_first != fingerprint(*news.loaded.snapshot));
}

TEST_CASE("a map that loses too much is held back") {
  World world;
  for (int i = 0; i < 30; ++i) world.put(fmt::format("n{}.example", i));
  CertificateMap map(certs::make_local_file_source(), "");
  std::string notice;
  map.went_live(map.start(world.settings, world.now, tls::KeyCheck::Whole, notice).loaded.snapshot);
  fs::remove_all(fs::path(world.settings.directories[0]));
  fs::create_directories(world.settings.directories[0]);
  CHECK(map.look(world.settings, {.everywhere = true, .folders = {}}, world.now).loss.empty());
  const auto later = world.now + certs::Loader::removal_delay;
  const auto news = map.look(world.settings, {.everywhere = true, .folders = {}}, later);
  CHECK(news.changes.removed.size() == 33);
  CHECK(news.loss.find("lacks 33 of the 33 names") != std::string::npos);
  CHECK(names_of(*map.live()).size() == 33);
}

TEST_CASE("tasks are done once each, by whoever has time") {
  uv::WorkPool pool({.name = "test", .threads = 3, .queue_max = 2, .nice = 0});
  const auto execute = on_pool(pool, 3);
  for (const std::size_t count : {0u, 1u, 2u, 1000u}) {
    std::vector<std::atomic<int>> done(count);
    certs::Tasks tasks;
    for (auto& one : done) tasks.emplace_back([&one] { ++one; });
    execute(tasks);
    CHECK(std::all_of(done.begin(), done.end(), [](const auto& one) { return one.load() == 1; }));
  }
  pool.stop();
  int done = 0;
  certs::Tasks tasks{[&done] { ++done; }, [&done] { ++done; }};
  execute(tasks);  // by the caller alone
  CHECK(done == 2);
}
