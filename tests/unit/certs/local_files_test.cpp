#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "certs/loader.h"
#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::certs;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "postern-certs-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    fs::permissions(path_ / "closed", fs::perms::owner_all, ignored);
    fs::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::string text() const { return path_.string(); }
  void put(const std::string& name, const std::string& bytes) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << bytes;
  }
  void link(const std::string& target, const std::string& name) const { fs::create_symlink(target, path_ / name); }

 private:
  fs::path path_;
};

/// In that folder, with the anchor of its certificates.
SourceSettings settings_of(const Folder& folder, const test::TestCa& ca) {
  folder.put("anchors", ca.root_pem());
  SourceSettings settings;
  settings.roots = folder / "anchors";
  return settings;
}

std::string error_of(const std::string& path) {
  const auto contents = make_local_file_source()->read(path, 1000);
  return contents ? "none" : contents.error().text;
}

bool serves(const LoadOutcome& outcome, const std::string& name) {
  return outcome.snapshot->find(*DnsName::parse(name)).entry != nullptr;
}

}  // namespace

TEST_CASE("a regular file is read with its state") {
  Folder folder;
  folder.put("a", "some text");
  const auto files = make_local_file_source();
  const auto contents = files->read(folder / "a", 9);
  REQUIRE(contents);
  CHECK(contents->bytes == "some text");
  CHECK(contents->state == *files->state(folder / "a"));
  CHECK(contents->state.size == 9);
  folder.put("empty", "");
  CHECK(files->read(folder / "empty", 9)->bytes.empty());
}

TEST_CASE("what cannot be read says why") {
  Folder folder;
  folder.put("big", std::string(1001, 'x'));
  folder.link("../gone/a.pem", "dangling");
  folder.link("circle", "circle");
  folder.put("file", "");
  fs::create_directory(folder / "folder");
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  folder.link("gone", "..data");
  folder.link("..data/tls.crt", "tls.crt");
  CHECK(error_of(folder / "none") == folder / "none: does not exist");
  CHECK(error_of(folder / "big") == folder / "big: has 1001 octets or more, and at most 1000 are read");
  CHECK(error_of(folder / "dangling") == folder / "dangling: it is a dangling link: its target ../gone/a.pem does not exist");
  CHECK(error_of(folder / "circle") == folder / "circle: its links lead in a circle");
  CHECK(error_of(folder / "folder") == folder / "folder: is a folder, not a regular file");
  CHECK(error_of(folder / "fifo") == folder / "fifo: is a FIFO, not a regular file");
  CHECK(error_of(folder / "file/x") == folder / "file/x: a part of this path is no folder");
  CHECK(error_of("/dev/null") == "/dev/null: is a device, not a regular file");
  CHECK(error_of(folder / "tls.crt").find("is a dangling link") != std::string::npos);
  const auto files = make_local_file_source();
  CHECK(files->list(folder / "file").error().text == folder / "file: is no folder");
  CHECK(files->list(folder / "none").error().text == folder / "none: does not exist");
  CHECK(files->link_target(folder / "dangling") == "../gone/a.pem");
  CHECK_FALSE(files->link_target(folder / "file"));
}

TEST_CASE("a file of somebody else says who may read it") {
  Folder folder;
  folder.put("secret", "x");
  folder.put("closed/key", "x");
  fs::permissions(folder / "secret", fs::perms::none);
  fs::permissions(folder / "closed", fs::perms::none);
  if (geteuid() == 0) {
    CHECK(error_of(folder / "secret") == "none");  // root may read everything, and nothing is made up
    return;
  }
  CHECK(error_of(folder / "secret").find("permission denied: readable by nobody only, and this process runs as") !=
        std::string::npos);
  CHECK(error_of(folder / "closed/key").find("the folder " + (folder / "closed") + " is open to nobody only") !=
        std::string::npos);
}

TEST_CASE("folders are listed with what links lead to") {
  Folder folder;
  folder.put("sub/file", "");
  folder.put("file", "");
  folder.link("sub", "link-to-folder");
  folder.link("none", "dangling");
  auto entries = make_local_file_source()->list(folder.text())->entries;
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::string text;
  for (const auto& entry : entries) text += entry.name + (entry.is_directory ? "/ " : " ");
  CHECK(text == "dangling file link-to-folder/ sub/ ");
}

TEST_CASE("certbot's links, renewed, and a link that dangles for a while") {
  Folder folder;
  const test::TestCa ca;
  const auto put = [&](const std::string& number, const test::Issued& issued) {
    folder.put("archive/mx.example/fullchain" + number + ".pem", issued.chain_pem());
    folder.put("archive/mx.example/privkey" + number + ".pem", issued.key_pem);
  };
  put("1", ca.issue({.names = {"mx.example"}}));
  folder.put("live/README", "");
  fs::create_directories(folder / "live/mx.example");
  folder.link("../../archive/mx.example/fullchain1.pem", "live/mx.example/fullchain.pem");
  folder.link("../../archive/mx.example/privkey1.pem", "live/mx.example/privkey.pem");
  Loader loader(make_local_file_source());
  auto settings = settings_of(folder, ca);
  settings.directories = {folder / "live"};
  const auto now = test::test_now();
  auto outcome = loader.load(settings, now);
  CHECK(outcome.standing.empty());
  CHECK(serves(outcome, "mx.example"));
  const auto watched = loader.watched_directories();
  CHECK(std::find(watched.begin(), watched.end(), folder / "live/mx.example") != watched.end());
  CHECK(std::find(watched.begin(), watched.end(), folder / "live/mx.example/../../archive/mx.example") != watched.end());

  for (const std::string part : {"fullchain", "privkey"}) fs::remove(folder / ("archive/mx.example/" + part + "1.pem"));
  outcome = loader.load(settings, now + std::chrono::hours(1));
  CHECK(serves(outcome, "mx.example"));
  REQUIRE(outcome.faults.size() == 1);
  CHECK(outcome.faults[0].text.find("dangling link") != std::string::npos);

  put("2", ca.issue({.names = {"mx.example"}}));
  for (const std::string part : {"fullchain", "privkey"}) {
    fs::remove(folder / ("live/mx.example/" + part + ".pem"));
    folder.link("../../archive/mx.example/" + part + "2.pem", "live/mx.example/" + part + ".pem");
  }
  outcome = loader.load(settings, now + std::chrono::hours(2));
  CHECK(outcome.standing.empty());
  CHECK(outcome.changes.renewed.strings() == std::vector<std::string>{"mx.example"});
}

TEST_CASE("the link swap of a Kubernetes secret") {
  Folder folder;
  const test::TestCa ca;
  const auto put = [&](const std::string& version, const test::Issued& issued) {
    folder.put("mx/.." + version + "/tls.crt", issued.chain_pem());
    folder.put("mx/.." + version + "/tls.key", issued.key_pem);
  };
  put("v1", ca.issue({.names = {"mx.example"}}));
  folder.link("..v1", "mx/..data");
  folder.link("..data/tls.crt", "mx/tls.crt");
  folder.link("..data/tls.key", "mx/tls.key");
  Loader loader(make_local_file_source());
  auto settings = settings_of(folder, ca);
  SECTION("the secret itself") { settings.directories = {folder / "mx"}; }
  SECTION("the folder around it") { settings.directories = {folder.text()}; }
  auto outcome = loader.load(settings, test::test_now());
  CHECK(outcome.standing.empty());
  CHECK(serves(outcome, "mx.example"));
  put("v2", ca.issue({.names = {"mx.example", "mx2.example"}}));
  folder.link("..v2", "mx/..data_tmp");
  fs::rename(folder / "mx/..data_tmp", folder / "mx/..data");
  fs::remove_all(folder / "mx/..v1");
  outcome = loader.load(settings, test::test_now());
  CHECK(outcome.standing.empty());
  CHECK(outcome.changes.renewed.strings() == std::vector<std::string>{"mx.example"});
  CHECK(outcome.changes.added.strings() == std::vector<std::string>{"mx2.example"});
}

TEST_CASE("loops of links, FIFOs and deep trees end") {
  Folder folder;
  const test::TestCa ca;
  folder.put("certs/mx.example.pem", ca.issue({.names = {"mx.example"}}).combined_pem());
  folder.link(".", "certs/self");
  folder.link("..", "certs/up");
  REQUIRE(mkfifo((folder / "certs/pipe.pem").c_str(), 0600) == 0);
  folder.put("certs/1/2/3/found.pem", ca.issue({.names = {"found.example"}}).combined_pem());
  folder.put("certs/1/2/3/4/too-deep.pem", ca.issue({.names = {"deep.example"}}).combined_pem());
  Loader loader(make_local_file_source());
  auto settings = settings_of(folder, ca);
  settings.directories = {folder / "certs"};
  const auto outcome = loader.load(settings, test::test_now());
  CHECK(serves(outcome, "mx.example"));
  CHECK(serves(outcome, "found.example"));
  CHECK_FALSE(serves(outcome, "deep.example"));
  REQUIRE(outcome.standing.size() == 1);
  CHECK(outcome.standing[0].text.find("is a FIFO") != std::string::npos);
}
