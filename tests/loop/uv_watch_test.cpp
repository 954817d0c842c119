#include "daemon/uv/watch.h"

#include <fstream>

#include "tests/loop/uv_folder.h"
#include "tests/loop/uv_support.h"

using namespace postern;
using namespace postern::uv;
using namespace postern::uv::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

constexpr Duration quiet = 5ms;

void write(const fs::path& path) { std::ofstream(path) << "text"; }

struct Watched {
  Loop loop;
  Folder folder;
  int changes = 0;
  DirectoryChanges last;
  std::unique_ptr<DirectoryWatch> watch = std::make_unique<DirectoryWatch>(loop, quiet, [this](DirectoryChanges told) {
    ++changes;
    last = std::move(told);
  });

  std::set<std::string> directories() const {
    std::set<std::string> all;
    for (const auto& [directory, names] : last.directories) all.insert(directory);
    return all;
  }

  /// That `action` is followed by exactly one on_change.
  void check_one_change(const std::string& what, const std::function<void()>& action) {
    INFO(what);
    const int before = changes;
    action();
    CHECK(turn_until(loop, [&] { return changes > before; }));
    CHECK(changes == before + 1);
  }

  /// Turns the loop for longer than a burst can last.
  void idle() {
    bool over = false;
    Timer timer(loop, [&] { over = true; });
    timer.start_at(monotonic_now() + 12 * quiet);
    turn_until(loop, [&] { return over; });
  }
};

}  // namespace

TEST_CASE("every way to change a file of a watched directory is seen, a burst as one change") {
  Watched w;
  w.watch->set({(w.folder / "").string()});
  w.check_one_change("created and written", [&] { write(w.folder / "a"); });
  w.check_one_change("written again", [&] { write(w.folder / "a"); });
  w.check_one_change("renamed over", [&] {
    write(w.folder / "new");
    fs::rename(w.folder / "new", w.folder / "a");
  });
  w.check_one_change("made readable", [&] { fs::permissions(w.folder / "a", fs::perms::owner_read); });
  w.check_one_change("a link", [&] { fs::create_symlink("a", w.folder / "..data"); });
  w.check_one_change("the link swapped", [&] {
    fs::create_symlink("b", w.folder / "..tmp");
    fs::rename(w.folder / "..tmp", w.folder / "..data");
  });
  w.check_one_change("removed", [&] { fs::remove(w.folder / "a"); });
  w.check_one_change("many at once", [&] {
    for (int n = 0; n < 200; ++n) write(w.folder / std::to_string(n));
  });
}

TEST_CASE("changes that never pause are told all the same") {
  Watched w;
  w.watch->set({(w.folder / "").string()});
  Timer writer(w.loop, [&] {
    write(w.folder / "busy");
    writer.start_at(w.loop.now() + 1ms);
  });
  writer.start_at(w.loop.now());
  CHECK(turn_until(w.loop, [&] { return w.changes >= 2; }));
}

TEST_CASE("a set is replaced, and what cannot be watched is left out of it") {
  Watched w;
  fs::create_directory(w.folder / "one");
  fs::create_directory(w.folder / "two");
  write(w.folder / "file");
  w.watch->set({(w.folder / "one").string()});
  w.watch->set({(w.folder / "two").string(), (w.folder / "missing").string(), (w.folder / "file").string()});
  write(w.folder / "one" / "x");
  write(w.folder / "file");
  w.idle();
  CHECK(w.changes == 0);
  w.check_one_change("the new one", [&] { write(w.folder / "two" / "x"); });
}

TEST_CASE("a directory that another one replaces is watched on") {
  Watched w;
  const fs::path live = w.folder / "live";
  fs::create_directory(live);
  w.watch->set({live.string()});
  w.check_one_change("replaced", [&] {
    fs::rename(live, w.folder / "old");
    fs::create_directory(live);
  });
  w.check_one_change("changed after that", [&] { write(live / "x"); });
  w.check_one_change("removed and made anew", [&] {
    fs::remove_all(live);
    fs::create_directory(live);
  });
  w.check_one_change("changed again", [&] { write(live / "y"); });
}

TEST_CASE("a watch that is destroyed, also by what it calls, tells nothing more") {
  Watched w;
  w.watch->set({(w.folder / "").string()});
  write(w.folder / "a");
  w.watch.reset();
  w.idle();
  CHECK(w.changes == 0);

  int seen = 0;
  w.watch = std::make_unique<DirectoryWatch>(w.loop, quiet, [&](const DirectoryChanges&) {
    ++seen;
    w.watch.reset();
  });
  w.watch->set({(w.folder / "").string()});
  write(w.folder / "b");
  w.loop.run();
  CHECK(seen == 1);
}

TEST_CASE("where something happened is told, by the names that were given") {
  Watched w;
  const fs::path one = w.folder / "one", two = w.folder / "two", link = w.folder / "link";
  fs::create_directory(one);
  fs::create_directory(two);
  fs::create_directory_symlink("one", link);
  const std::vector<std::string> all{one.string(), two.string(), link.string()};
  w.watch->set(all);
  w.check_one_change("in one", [&] { write(one / "x"); });
  CHECK(w.directories() == std::set<std::string>{one.string(), link.string()});
  w.watch->set({two.string(), link.string()});
  w.check_one_change("one by its link only", [&] { write(one / "x"); });
  CHECK(w.directories() == std::set<std::string>{link.string()});
}

TEST_CASE("what was touched in a directory is told, while that can be told") {
  Watched w;
  const std::string here = w.folder / "here";
  fs::create_directory(here);
  w.watch->set({here});
  using Names = std::set<std::string>;
  w.check_one_change("renamed over", [&] {
    write(here + "/a.new");
    fs::rename(here + "/a.new", here + "/a");
  });
  CHECK(w.last.directories.at(here) == Names{"a", "a.new"});
  w.check_one_change("removed", [&] { fs::remove(here + "/a"); });
  CHECK(w.last.directories.at(here) == Names{"a"});
  w.check_one_change("the directory itself", [&] {
    write(here + "/a");
    fs::permissions(here, fs::perms::owner_all);
  });
  CHECK(w.last.directories.at(here) == std::nullopt);
  w.check_one_change("too many", [&] {
    for (int n = 0; n < 1001; ++n) fs::create_symlink("nothing", here + "/" + std::to_string(n));
  });
  CHECK(w.last.directories.at(here) == std::nullopt);
}

TEST_CASE("a link that is swapped in a watched directory is followed at once") {
  Watched w;
  const fs::path base = w.folder / "";
  fs::create_directory(w.folder / "one");
  fs::create_directory(w.folder / "two");
  fs::create_directory_symlink("one", w.folder / "data");
  w.watch->set({base.parent_path().string(), (w.folder / "data").string()});
  w.check_one_change("swapped", [&] {
    fs::create_directory_symlink("two", w.folder / "next");
    fs::rename(w.folder / "next", w.folder / "data");
  });
  w.check_one_change("behind the link", [&] { write(w.folder / "two" / "x"); });
  CHECK(w.directories() == std::set<std::string>{(w.folder / "data").string()});
}

TEST_CASE("what was missing is taken up by retry, what was replaced unseen by renew") {
  Watched w;
  const fs::path parent = w.folder / "parent", inner = parent / "inner";
  w.watch->set({inner.string()});
  CHECK(w.watch->unwatched() == 1);
  CHECK_FALSE(w.watch->out_of_watches());
  fs::create_directories(inner);
  w.watch->retry();
  CHECK(w.watch->unwatched() == 0);
  w.check_one_change("taken up", [&] { write(inner / "x"); });
  fs::rename(parent, w.folder / "old");  // not seen: nothing happened in `inner`
  fs::create_directories(inner);
  w.watch->renew();
  w.check_one_change("in the new one", [&] { write(inner / "y"); });
  write(w.folder / "old" / "inner" / "x");
  w.idle();
  CHECK(w.changes == 2);
}
