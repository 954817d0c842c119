#include "daemon/app/guarded_files.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "certs/anchors.h"
#include "daemon/app/loader_process.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using namespace postern::app;
using namespace postern::test;

namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

/// A certbot folder, a file of its own, and a secret beside both.
struct Tree {
  TemporaryDirectory folder;
  fs::path root = folder.path();
  config::Config config;

  Tree() {
    write(root / "archive/mx/key1.pem", "key 1");
    fs::create_directories(root / "live/mx");
    fs::create_symlink("../../archive/mx/key1.pem", root / "live/mx/key.pem");
    write(root / "own/leaf.pem", "leaf");
    write(root / "own/other.pem", "other");
    write(root / "secret", "secret");
    config.run.certificates.directories = {(root / "live/").string()};
    config.run.certificates.certificates.push_back({});
    config.run.certificates.certificates.back().chain = (root / "own/leaf.pem").string();
  }

  std::string at(const char* path) const { return (root / path).string(); }
};

std::string text_of(certs::FileSource& files, const std::string& path) {
  const auto contents = files.read(path, 1000);
  return contents ? contents->bytes : "error: " + contents.error().text;
}

}  // namespace

TEST_CASE("what is configured is read, wherever certbot's links lead") {
  const Tree tree;
  GuardedFiles files(needed_files(tree.config));
  CHECK(text_of(files, tree.at("live/mx/key.pem")) == "key 1");
  CHECK(text_of(files, tree.at("live/../live/mx/key.pem")) == "key 1");
  CHECK(text_of(files, tree.at("live//mx/./key.pem")) == "key 1");
  CHECK(files.list(tree.at("live/"))->entries.size() == 1);
  CHECK(files.list(tree.at("live/mx/."))->entries.size() == 1);
  CHECK(text_of(files, tree.at("own/leaf.pem")) == "leaf");
  write(tree.root / "own/leaf.ocsp", "staple");
  CHECK(text_of(files, tree.at("own/leaf.ocsp")) == "staple");
  CHECK(files.state(tree.at("live/mx/key.pem"))->size == 5);
  REQUIRE(files.list(tree.at("live")));
  CHECK(files.list(tree.at("live"))->entries.at(0).name == "mx");
  CHECK(files.list(tree.at("live"))->entries.at(0).is_directory);
  CHECK(files.link_target(tree.at("live/mx/key.pem")) == "../../archive/mx/key1.pem");
}

TEST_CASE("nothing else is") {
  const Tree tree;
  GuardedFiles files(needed_files(tree.config));
  const auto refused = [&](const std::string& path) {
    return text_of(files, path).find("lies under none of the configured sources") != std::string::npos &&
           !files.state(path) && !files.exists(path) && !files.list(path);
  };
  CHECK(refused(tree.at("secret")));
  CHECK(refused(tree.at("live/../secret")));
  CHECK(refused(tree.at("live/mx/../../secret")));
  CHECK(refused(tree.at("live//../secret")));
  CHECK(refused(tree.at("live/./mx/../../secret/.")));
  CHECK(refused(tree.at("own/other.pem")));  // beside a file that is named
  CHECK(refused(tree.at("liven't/x")));
  CHECK(refused(tree.at("nothing/there")));  // not even that it does not exist
  CHECK(refused("/etc/shadow"));
  CHECK(refused("secret"));
  CHECK(refused(""));
  // Of which the kernel sees the beginning alone.
  CHECK(refused(tree.at("secret") + '\0' + "/../live/mx/key.pem"));
  fs::create_symlink("secret", tree.root / "link");
  CHECK_FALSE(files.link_target(tree.at("link") + '\0' + "/../live/mx/key.pem"));
  fs::create_symlink(tree.root / "secret", tree.root / "live/mx/chain.pem");
  CHECK(refused(tree.at("live/mx/chain.pem")));
  fs::create_directory_symlink(tree.root, tree.root / "live/up");
  CHECK(refused(tree.at("live/up/secret")));
  fs::create_symlink("/proc/self/root/etc/passwd", tree.root / "live/mx/magic.pem");
  CHECK_FALSE(files.read(tree.at("live/mx/magic.pem"), 1000));
}

TEST_CASE("what a map names is read, as long as it names it") {
  Tree tree;
  write(tree.root / "map", "mx.example own/other.pem\n");
  tree.config.run.certificates.maps = {(tree.root / "map").string()};
  GuardedFiles files(needed_files(tree.config));
  CHECK(text_of(files, tree.at("own/other.pem")) == "other");
  write(tree.root / "third/third.pem", "third");
  CHECK(text_of(files, tree.at("third/third.pem")).ends_with("lies under none of the configured sources"));
  write(tree.root / "map", "mx.example third/third.pem\n");
  REQUIRE(files.read(tree.at("map"), 1000));  // by who looks for changes
  CHECK(text_of(files, tree.at("third/third.pem")) == "third");
  CHECK(text_of(files, tree.at("own/other.pem")).ends_with("lies under none of the configured sources"));
}

TEST_CASE("a link beside a file that a map names leads to where that lies, and no further") {
  Tree tree;
  write(tree.root / "own/3/real.pem", "real");
  fs::create_symlink("3/real.pem", tree.root / "own/within.pem");
  fs::create_symlink("../secret", tree.root / "own/out.pem");
  fs::create_symlink("archive", tree.root / "linked");
  write(tree.root / "map", "a.example live/mx/key.pem\nb.example own/within.pem own/out.pem\nc.example linked/mx/key1.pem\n");
  tree.config.run.certificates.directories.clear();
  tree.config.run.certificates.maps = {tree.at("map")};
  GuardedFiles files(needed_files(tree.config));
  CHECK(text_of(files, tree.at("live/mx/key.pem")) == "key 1");
  CHECK(text_of(files, tree.at("own/within.pem")) == "real");
  CHECK(text_of(files, tree.at("linked/mx/key1.pem")) == "key 1");
  CHECK(text_of(files, tree.at("own/3/real.pem")).ends_with("lies under none of the configured sources"));
  CHECK(text_of(files, tree.at("own/out.pem")).find("a link leads to " + tree.at("secret")) != std::string::npos);
}

TEST_CASE("links within the configured folders are followed however many they are, and out of them none is") {
  const Tree tree;
  GuardedFiles files(needed_files(tree.config));
  const auto link = [&](const char* target, const char* path) { fs::create_symlink(target, tree.root / path); };
  write(tree.root / "live/k8s/..2026/tls.crt", "mounted");  // as Kubernetes mounts secrets
  link("..2026", "live/k8s/..data");
  link("..data/tls.crt", "live/k8s/tls.crt");
  CHECK(text_of(files, tree.at("live/k8s/tls.crt")) == "mounted");
  CHECK(files.state(tree.at("live/k8s/tls.crt"))->size == 7);
  fs::create_symlink(tree.root / "live/k8s/..2026/tls.crt", tree.root / "live/mx/absolute.pem");
  CHECK(text_of(files, tree.at("live/mx/absolute.pem")) == "mounted");
  link("k8s", "live/alias");
  CHECK(text_of(files, tree.at("live/alias/..2026/tls.crt")) == "mounted");
  CHECK(files.list(tree.at("live/alias"))->entries.size() == 3);

  // What a link's text says is not where it leads, where there are links on the way.
  write(tree.root / "deep/er/key.pem", "elsewhere");
  write(tree.root / "live/key.pem", "beside");
  fs::create_directory_symlink(tree.root / "deep/er", tree.root / "live/mx/deep");
  link("deep/../key.pem", "live/mx/up.pem");
  write(tree.root / "deep/key.pem", "elsewhere");
  const std::string refused = ": a link leads to " + tree.at("deep/key.pem") + ", which lies under none of the configured sources";
  CHECK(text_of(files, tree.at("live/mx/up.pem")).find(tree.at("live/mx/up.pem") + refused) != std::string::npos);
  CHECK(text_of(files, tree.at("live/mx/deep/../key.pem")).find(refused) != std::string::npos);

  link("../../secret", "live/mx/out.pem");
  link("out.pem", "live/mx/out-by-two.pem");
  link("../../archive/../secret", "live/mx/through.pem");
  link("../../archive/mx/out.pem", "live/mx/archived.pem");
  link("../../secret", "archive/mx/out.pem");
  for (const char* name : {"out.pem", "out-by-two.pem", "through.pem", "archived.pem"}) {
    const auto path = tree.root / "live/mx" / name;
    INFO(path);
    const std::string words = path.string() + ": a link leads to " + tree.at("secret") +
                              ", which lies under none of the configured sources; name its folder in certificates.directories, too";
    CHECK(text_of(files, path) == "error: " + words);
    REQUIRE_FALSE(files.state(path));
    CHECK(files.state(path).error().text == words);
    REQUIRE_FALSE(files.list(path));
    CHECK(files.list(path).error().text == words);
  }
  link("circle.pem", "live/mx/circle.pem");
  CHECK(text_of(files, tree.at("live/mx/circle.pem")).ends_with("circle.pem: its links lead in a circle"));
  link("nothing", "live/mx/dangling.pem");
  CHECK(text_of(files, tree.at("live/mx/dangling.pem")).ends_with("its target nothing does not exist"));
}

TEST_CASE("a configured folder that is replaced is seen as what it is now") {
  const Tree tree;
  GuardedFiles files(needed_files(tree.config));
  CHECK(text_of(files, tree.at("live/mx/key.pem")) == "key 1");
  write(tree.root / "next/mx/key.pem", "key 2");
  fs::rename(tree.root / "live", tree.root / "before");
  CHECK(text_of(files, tree.at("live/mx/key.pem")).ends_with("does not exist"));
  fs::rename(tree.root / "next", tree.root / "live");
  CHECK(text_of(files, tree.at("live/mx/key.pem")) == "key 2");
  fs::remove_all(tree.root / "live");
  fs::create_directory_symlink(tree.root / "before", tree.root / "live");  // that place is not configured
  CHECK(text_of(files, tree.at("live/mx/../mx")).find("a link leads to " + tree.at("before/mx")) != std::string::npos);
}

TEST_CASE("a configured folder may come later, and is then where it was seen first") {
  Tree tree;
  tree.config.run.certificates.directories = {tree.at("new/live"), tree.at("linked")};
  GuardedFiles files(needed_files(tree.config));
  CHECK(text_of(files, tree.at("new/live/mx/key.pem")).ends_with("does not exist"));
  write(tree.root / "new/archive/mx/key1.pem", "key 1");
  fs::create_directories(tree.root / "new/live/mx");
  fs::create_symlink("../../archive/mx/key1.pem", tree.root / "new/live/mx/key.pem");
  fs::create_symlink(tree.root / "secret", tree.root / "new/live/mx/secret.pem");
  CHECK(text_of(files, tree.at("new/live/mx/secret.pem")).find("a link leads to " + tree.at("secret")) != std::string::npos);
  CHECK(text_of(files, tree.at("new/live/mx/key.pem")) == "key 1");
  fs::create_directory_symlink("own", tree.root / "linked");
  CHECK(text_of(files, tree.at("linked/other.pem")) == "other");
  fs::remove(tree.root / "linked");
  write(tree.root / "else/other.pem", "secret");
  fs::create_directory_symlink("else", tree.root / "linked");
  CHECK(text_of(files, tree.at("linked/other.pem")).find("a link leads to " + tree.at("else/other.pem")) != std::string::npos);
}

TEST_CASE("a configured folder may be a link, and lie behind one") {
  Tree tree;
  fs::create_directory_symlink("live", tree.root / "current");
  fs::create_directories(tree.root / "etc");
  fs::create_directory_symlink("..", tree.root / "etc/tls");
  tree.config.run.certificates.directories = {tree.at("current"), tree.at("etc/tls/live")};
  write(tree.root / "live/mx/leaf.pem", "leaf of live");
  GuardedFiles files(needed_files(tree.config));
  CHECK(text_of(files, tree.at("current/mx/leaf.pem")) == "leaf of live");
  CHECK(text_of(files, tree.at("etc/tls/live/mx/leaf.pem")) == "leaf of live");
  CHECK(text_of(files, tree.at("etc/tls/live/mx/key.pem")) == "key 1");
  CHECK(files.list(tree.at("current"))->entries.size() == 1);
  CHECK(text_of(files, tree.at("live/mx/leaf.pem")).ends_with("lies under none of the configured sources"));
  write(tree.root / "other/mx/leaf.pem", "leaf of another");
  fs::remove(tree.root / "current");
  fs::create_directory_symlink("other", tree.root / "current");
  CHECK(text_of(files, tree.at("current/mx/leaf.pem")).find("a link leads to " + tree.at("other/mx/leaf.pem")) != std::string::npos);
}

TEST_CASE("the trust anchors of the system are there") {
  const Tree tree;
  GuardedFiles files(needed_files(tree.config));
  CHECK(certs::system_anchor_file(files) == certs::system_anchor_file(*certs::make_local_file_source()));
}

TEST_CASE("what is no regular file is told, without waiting for it") {
  const Tree tree;
  GuardedFiles files(needed_files(tree.config));
  REQUIRE(::mkfifo(tree.at("live/mx/fifo.pem").c_str(), 0600) == 0);
  CHECK(text_of(files, tree.at("live/mx/fifo.pem")) == "error: " + tree.at("live/mx/fifo.pem") + ": is a FIFO, not a regular file");
  CHECK(files.state(tree.at("live/mx/fifo.pem")));
  CHECK(files.list(tree.at("live/mx/fifo.pem")).error().text == tree.at("live/mx/fifo.pem") + ": is no folder");
  CHECK(text_of(files, tree.at("live/mx")) == "error: " + tree.at("live/mx") + ": is a folder, not a regular file");
  CHECK(text_of(files, tree.at("live/mx/gone.pem")) == "error: " + tree.at("live/mx/gone.pem") + ": does not exist");
  write(tree.root / "live/mx/large.pem", std::string(2000, 'x'));
  fs::create_symlink("/dev/null", tree.root / "live/mx/device.pem");
  CHECK(text_of(files, tree.at("live/mx/device.pem")).find("a link leads to /dev/null") != std::string::npos);
  CHECK(text_of(files, tree.at("live/mx/large.pem")).starts_with("error: " + tree.at("live/mx/large.pem") + ": has 2000 octets"));
}

TEST_CASE("the same through a loader process") {
  const Tree tree;
  auto loader = start_loader_process("/nonexistent.toml", tree.config, std::nullopt);
  REQUIRE(loader);
  certs::FileSource& files = **loader;
  CHECK(text_of(files, tree.at("live/mx/key.pem")) == "key 1");
  CHECK(files.state(tree.at("own/leaf.pem")) == certs::make_local_file_source()->state(tree.at("own/leaf.pem")));
  CHECK(files.list(tree.at("live"))->entries.at(0).is_directory);
  CHECK(files.link_target(tree.at("live/mx/key.pem")) == "../../archive/mx/key1.pem");
  CHECK_FALSE(files.link_target(tree.at("own/leaf.pem")));
  CHECK(text_of(files, tree.at("secret")).ends_with("lies under none of the configured sources"));
  (*loader)->configuration_changed();  // to one that cannot be read: the sources stay
  CHECK(text_of(files, tree.at("own/leaf.pem")) == "leaf");
  const std::string large(600'000, 'k');
  write(tree.root / "live/mx/large.pem", large);
  CHECK(files.read(tree.at("live/mx/large.pem"), 1'000'000)->bytes == large);
  CHECK(text_of(files, std::string(100'000, 'x')).find("has ended") != std::string::npos);  // over its limit
}

TEST_CASE("many threads ask a loader process, and each gets its own answers") {
  Tree tree;
  // As `tree.config`, without the file of its own.
  write(tree.root / "postern.toml", fmt::format(R"(
hostname = "mx.example"
state_dir = "{0}/state"
[[listen]]
address = "127.0.0.1:2525"
tls = "none"
[certificates]
directories = ["{0}/live"]
maps = ["{0}/map"]
[[backend]]
name = "store"
deliver = "lmtp"
to = "127.0.0.1:9"
recipients = "trust"
[[domain]]
name = "example.com"
backend = "store"
)", tree.root.string()));
  write(tree.root / "map", "mx.example own/other.pem\n");
  tree.config.run.certificates.maps = {tree.at("map")};
  for (int i = 0; i < 50; ++i) write(tree.root / "live/many" / std::to_string(i), "contents of " + std::to_string(i));
  auto loader = start_loader_process(tree.at("postern.toml"), tree.config, std::nullopt);
  REQUIRE(loader);
  certs::FileSource& files = **loader;
  std::atomic<int> wrong{0};
  const auto expect = [&wrong](bool right) { wrong += right ? 0 : 1; };  // Catch's own checks are for one thread
  const auto ask = [&] {
    for (int round = 0; round < 10; ++round) {
      std::vector<certs::Wish> wishes;
      for (int i = 0; i < 50; ++i) wishes.push_back({certs::Wish::What::Read, tree.at("live/many/") + std::to_string(i), 1000});
      const auto ahead = files.ahead([&] { return wishes; });
      for (int i = 0; i < 50; ++i) {
        const auto path = tree.at("live/many/") + std::to_string(i);
        expect(text_of(*ahead, path) == "contents of " + std::to_string(i));
        expect(text_of(files, path) == "contents of " + std::to_string(i));
      }
      expect(text_of(files, tree.at("map")).starts_with("mx.example"));
      expect(text_of(files, tree.at("own/other.pem")) == "other");
      expect(text_of(files, tree.at("secret")).ends_with("lies under none of the configured sources"));
      if (round % 5 == 0) (void)(*loader)->configuration_changed();
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back(ask);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(text_of(files, tree.at("own/leaf.pem")).ends_with("lies under none of the configured sources"));  // that is new

  // What one thread has let it learn from a map holds for all.
  write(tree.root / "third/third.pem", "third");
  write(tree.root / "map", "mx.example third/third.pem\n");
  REQUIRE(files.read(tree.at("map"), 1000));
  for (int i = 0; i < 8; ++i) {
    threads.at(static_cast<std::size_t>(i)) = std::thread([&] {
      for (int round = 0; round < 20; ++round) {
        expect(text_of(files, tree.at("third/third.pem")) == "third");
        expect(text_of(files, tree.at("own/other.pem")).ends_with("lies under none of the configured sources"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a loader process that is asked in advance says what it says when it is asked one by one") {
  using certs::Wish;
  const Tree tree;
  auto loader = start_loader_process("/nonexistent.toml", tree.config, std::nullopt);
  REQUIRE(loader);
  certs::FileSource& files = **loader;
  write(tree.root / "live/mx/large.pem", std::string(200'000, 'k'));
  const std::vector<std::string> paths{tree.at("live/mx/key.pem"), tree.at("own/leaf.pem"),  tree.at("live"),
                                       tree.at("live/mx/gone.pem"), tree.at("live/mx/large.pem"), tree.at("secret")};
  std::vector<Wish> wishes;
  const auto wish_for = [&wishes](const std::string& path) {
    for (const auto what : {Wish::What::State, Wish::What::List, Wish::What::LinkTarget}) wishes.push_back({what, path});
    wishes.push_back({Wish::What::Read, path, 1'000'000});
  };
  const auto check = [&](certs::FileSource& ahead, const std::string& path) {
    INFO(path);
    const auto state = ahead.state(path), state_now = files.state(path);
    CHECK(state.has_value() == state_now.has_value());
    CHECK((state ? state == state_now : state.error().text == state_now.error().text));
    const auto contents = ahead.read(path, 1'000'000), contents_now = files.read(path, 1'000'000);
    REQUIRE(contents.has_value() == contents_now.has_value());
    CHECK((contents ? contents->bytes == contents_now->bytes : contents.error().text == contents_now.error().text));
    const auto listing = ahead.list(path), listing_now = files.list(path);
    REQUIRE(listing.has_value() == listing_now.has_value());
    CHECK((listing ? listing->entries.size() == listing_now->entries.size() && listing->state == listing_now->state
                   : listing.error().text == listing_now.error().text));
    CHECK(ahead.link_target(path) == files.link_target(path));
  };
  SECTION("each of them, in this order, another one, and without having been wished for") {
    for (const auto& path : paths) wish_for(path);
    const auto ahead = files.ahead([&] { return wishes; });
    REQUIRE(ahead);
    for (const auto& path : paths) check(*ahead, path);
    check(*ahead, paths.front());
    check(*ahead, tree.at("own/other.pem"));
    check(*ahead, tree.at("archive/mx/key1.pem"));
  }
  SECTION("more than one message can ask for, or answer") {
    for (int i = 0; i < 2000; ++i) wish_for(paths[static_cast<std::size_t>(i) % paths.size()]);
    write(tree.root / "live/mx/even.pem", std::string(60'000, 'e'));
    for (int i = 0; i < 100; ++i) wishes.insert(wishes.begin(), {Wish::What::Read, tree.at("live/mx/even.pem"), 1'000'000});
    const auto ahead = files.ahead([&] { return wishes; });
    REQUIRE(ahead);
    for (const auto& path : paths) check(*ahead, path);
    check(*ahead, tree.at("live/mx/even.pem"));
  }
  SECTION("nothing") {
    const auto ahead = files.ahead([] { return std::vector<Wish>(); });
    REQUIRE(ahead);
    check(*ahead, paths.front());
  }
  SECTION("of a process that has ended") {
    CHECK(text_of(files, std::string(100'000, 'x')).find("has ended") != std::string::npos);
    for (const auto& path : paths) wish_for(path);
    const auto ahead = files.ahead([&] { return wishes; });
    REQUIRE(ahead);
    CHECK(text_of(*ahead, paths.front()).find("has ended") != std::string::npos);
  }
}
