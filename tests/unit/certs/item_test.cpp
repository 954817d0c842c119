#include "certs/item.h"

#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;

namespace {

const test::TestCa& ca() {
  static const test::TestCa authority;
  return authority;
}

Item pair_item() {
  Item item;
  item.files = {"/a.crt", "/a.key"};
  item.label = "/a.crt";
  return item;
}

}  // namespace

TEST_CASE("a pair is read once, and again when one of its files is another") {
  test::ScriptedFiles files;
  const auto source = files.source();
  const auto issued = ca().issue({.names = {"a.example"}});
  files.put("/a.crt", issued.chain_pem());
  files.put("/a.key", issued.key_pem);
  Item item = pair_item();
  auto reading = read_item(*source, item);
  CHECK(reading.changed);
  CHECK(reading.problems.empty());
  REQUIRE(reading.credentials.size() == 1);
  CHECK(reading.credentials[0]->source == "/a.crt");
  CHECK(reading.files_read == 2);
  CHECK(reading.folders == std::vector<std::string>{"/"});

  item.seen = reading.seen;
  CHECK_FALSE(read_item(*source, item).changed);
  files.put("/a.key", issued.key_pem);
  CHECK(read_item(*source, item).changed);
}

TEST_CASE("a file that stays missing is looked at, not reported again") {
  test::ScriptedFiles files;
  const auto source = files.source();
  files.put("/a.crt", "x");
  Item item = pair_item();
  const auto reading = read_item(*source, item);
  REQUIRE(reading.problems.size() == 1);
  CHECK(reading.problems[0].text == "/a.key: does not exist");
  CHECK(reading.problems[0].source == "/a.crt");
  item.seen = reading.seen;
  CHECK_FALSE(read_item(*source, item).changed);
  files.put("/a.key", "x");
  CHECK(read_item(*source, item).changed);
}

TEST_CASE("several files in a row give as many certificates as they have keys") {
  test::ScriptedFiles files;
  const auto source = files.source();
  const auto first = ca().issue({.names = {"a.example"}});
  const auto second = ca().issue({.names = {"a.example"}, .kind = tls::KeyKind::Ed25519});
  files.put("/1.pem", first.combined_pem());
  files.put("/2.key", second.key_pem);
  files.put("/2.crt", second.chain_pem());
  Item item;
  item.form = Form::Together;
  item.files = {"/1.pem", "/2.key", "/2.crt"};
  CHECK(read_item(*source, item).credentials.size() == 2);
  files.put("/2.key", first.key_pem);
  const auto reading = read_item(*source, item);
  CHECK(reading.credentials.size() == 1);
  CHECK(reading.problems.size() == 1);
}

TEST_CASE("chains are the same octet for octet") {
  const auto issued = ca().issue({.names = {"a.example"}});
  const auto other = ca().issue({.names = {"a.example"}});
  CHECK(same_chain(*issued.credential(), *issued.credential()));
  CHECK_FALSE(same_chain(*issued.credential(), *other.credential()));
  const auto longer = ca().intermediate("Sub").issue({.names = {"a.example"}});
  CHECK_FALSE(same_chain(*issued.credential(), *longer.credential()));
}

TEST_CASE("folders in which a change concerns a file") {
  class Links : public FileSource {
   public:
    Result<FileState> state(const std::string&) override { return FileState(); }
    Result<FileContents> read(const std::string&, std::size_t) override { return FileContents(); }
    Result<std::vector<DirectoryEntry>> list(const std::string&) override { return std::vector<DirectoryEntry>(); }
    std::optional<std::string> link_target(const std::string& path) override {
      if (path == "/live/a/key") return "../../archive/a/key1";
      if (path == "/live/b/key") return "/archive/b/key1";
      return std::nullopt;
    }
  } links;
  using Strings = std::vector<std::string>;
  CHECK(folders_of(links, "/live/a/key") == Strings{"/live/a", "/live/a/../../archive/a"});
  CHECK(folders_of(links, "/live/b/key") == Strings{"/live/b", "/archive/b"});
  CHECK(folders_of(links, "/key") == Strings{"/"});
  CHECK(folders_of(links, "key") == Strings{"."});
}
