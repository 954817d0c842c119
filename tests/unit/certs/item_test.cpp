#include "certs/item.h"

#include "tests/support/catch.h"
#include "tests/support/ocsp_response.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;

namespace {

const test::TestCa& ca() {
  static const test::TestCa authority;
  return authority;
}

const HowToRead how{.now = test::test_now()};

Item pair_item() {
  Item item;
  item.files = {"/a.crt", "/a.key"};
  return item;
}

}  // namespace

TEST_CASE("a pair is read once, and again when one of its files is another") {
  test::ScriptedFiles files;
  const std::shared_ptr<FileSource> source = files.source();
  const auto issued = ca().issue({.names = {"a.example"}});
  files.put("/a.crt", issued.chain_pem());
  files.put("/a.key", issued.key_pem);
  Item item = pair_item();
  auto reading = read_item(source, item, how);
  CHECK(reading.changed);
  CHECK(reading.problems.empty());
  REQUIRE(reading.credentials.size() == 1);
  CHECK(reading.credentials[0]->source == "/a.crt");
  CHECK(reading.files_read == 2);
  CHECK(reading.folders == std::vector<std::string>{"/"});

  item.seen = reading.seen;
  CHECK_FALSE(read_item(source, item, how).changed);
  files.put("/a.key", issued.key_pem);
  CHECK(read_item(source, item, how).changed);
}

TEST_CASE("a file that stays missing is looked at, not reported again") {
  test::ScriptedFiles files;
  const std::shared_ptr<FileSource> source = files.source();
  files.put("/a.crt", "x");
  Item item = pair_item();
  const auto reading = read_item(source, item, how);
  REQUIRE(reading.problems.size() == 1);
  CHECK(reading.problems[0].text == "/a.key: does not exist");
  CHECK(reading.problems[0].source == "/a.crt");
  item.seen = reading.seen;
  CHECK_FALSE(read_item(source, item, how).changed);
  files.put("/a.key", "x");
  CHECK(read_item(source, item, how).changed);
}

TEST_CASE("several files in a row give as many certificates as they have keys") {
  test::ScriptedFiles files;
  const std::shared_ptr<FileSource> source = files.source();
  const auto first = ca().issue({.names = {"a.example"}});
  const auto second = ca().issue({.names = {"a.example"}, .kind = tls::KeyKind::Ed25519});
  files.put("/1.pem", first.combined_pem());
  files.put("/2.key", second.key_pem);
  files.put("/2.crt", second.chain_pem());
  Item item;
  item.form = Form::Together;
  item.files = {"/1.pem", "/2.key", "/2.crt"};
  CHECK(read_item(source, item, how).credentials.size() == 2);
  files.put("/2.key", first.key_pem);
  const auto reading = read_item(source, item, how);
  CHECK(reading.credentials.size() == 1);
  CHECK(reading.problems.size() == 1);
}

TEST_CASE("credentials are the same octet for octet") {
  const auto issued = ca().issue({.names = {"a.example"}});
  const auto other = ca().issue({.names = {"a.example"}});
  CHECK(same_credential(*issued.credential(), *issued.credential()));
  CHECK_FALSE(same_credential(*issued.credential(), *other.credential()));
  const auto longer = ca().intermediate("Sub").issue({.names = {"a.example"}});
  CHECK_FALSE(same_credential(*issued.credential(), *longer.credential()));
}

TEST_CASE("a staple beside the chain goes with the certificate that it is about", "[staple]") {
  const std::string path = GENERATE("/a.ocsp", "/a.crt.ocsp");
  test::ScriptedFiles files;
  const std::shared_ptr<FileSource> source = files.source();
  const auto issued = test::TestCa().intermediate("Sub").issue({.names = {"a.example"}});
  files.put("/a.crt", issued.chain_pem());
  files.put("/a.key", issued.key_pem);
  Item item = pair_item();
  const auto look = [&](WallTime now) {
    auto reading = read_item(source, item, {.now = now});
    if (reading.changed) {
      item.seen = reading.seen;
      item.read_again_at = reading.read_again_at;
    }
    return reading;
  };
  CHECK_FALSE(look(how.now).credentials.at(0)->staple);
  const std::string der = test::ocsp_response(*issued.credential());
  files.put(path, der);
  auto reading = look(how.now);
  REQUIRE(reading.credentials.at(0)->staple);
  CHECK(reading.credentials[0]->staple->der == der);
  CHECK(reading.remarks.empty());
  CHECK_FALSE(look(how.now).changed);

  // No file changes, but it is stale now: told, and only once.
  reading = look(how.now + std::chrono::days(3));
  REQUIRE(reading.remarks.size() == 1);
  CHECK(reading.remarks[0].text == path + ": is stale: it was good until 2026-01-04T00:00:00Z; the certificate is served "
                                          "without it");
  CHECK(reading.credentials.size() == 1);
  CHECK(reading.problems.empty());
  CHECK_FALSE(look(how.now + std::chrono::days(4)).changed);

  files.put(path, test::ocsp_response(*test::TestCa().intermediate("Sub").issue({.names = {"a.example"}}).credential()));
  reading = look(how.now);
  REQUIRE(reading.remarks.size() == 1);
  CHECK(reading.remarks[0].text == path + ": is an OCSP response for another certificate; the certificate is served without it");
  CHECK_FALSE(reading.credentials.at(0)->staple);
  files.put(path, "garbage");
  CHECK(look(how.now).remarks.at(0).text.find("is no OCSP response") != std::string::npos);
  files.remove(path);
  reading = look(how.now);
  CHECK(reading.changed);
  CHECK(reading.remarks.empty());
}

TEST_CASE("dehydrated's staple beside fullchain.pem, and two kinds of key with a staple each", "[staple]") {
  test::ScriptedFiles files;
  const std::shared_ptr<FileSource> source = files.source();
  const auto authority = test::TestCa().intermediate("Sub");
  const auto first = authority.issue({.names = {"a.example"}});
  const auto second = authority.issue({.names = {"a.example"}, .kind = tls::KeyKind::Rsa});
  files.put_pair("/d", first);
  files.put("/d/ocsp.der", test::ocsp_response(*first.credential()));
  Item pair;
  pair.files = {"/d/fullchain.pem", "/d/privkey.pem"};
  CHECK(read_item(source, pair, how).credentials.at(0)->staple);

  files.put("/1.pem", first.combined_pem());
  files.put("/2.pem", second.combined_pem());
  files.put("/1.ocsp", test::ocsp_response(*second.credential()));
  files.put("/2.ocsp", test::ocsp_response(*first.credential()));
  Item both;
  both.form = Form::Together;
  both.files = {"/1.pem", "/2.pem"};
  const auto reading = read_item(source, both, how);
  REQUIRE(reading.credentials.size() == 2);
  CHECK(reading.remarks.empty());
  for (const auto& credential : reading.credentials) {
    REQUIRE(credential->staple);
    CHECK(tls::read_staple(credential->staple->der, "", credential->chain[0].get(), nullptr).value());
  }
}

TEST_CASE("lazily, only the leaf's facts are kept, and the key is read when it is wanted", "[lazy]") {
  const auto form = GENERATE(Form::Pair, Form::Together);
  const HowToRead lazily{.load = Load::Lazy, .now = test::test_now()};
  test::ScriptedFiles files;
  const std::shared_ptr<FileSource> source = files.source();
  const auto authority = test::TestCa().intermediate("Sub");
  const auto issued = authority.issue({.names = {"a.example"}});
  files.put("/a.crt", issued.chain_pem());
  files.put("/a.key", issued.key_pem);
  files.put("/a.ocsp", test::ocsp_response(*issued.credential()));
  Item item = pair_item();
  item.form = form;
  const auto reading = read_item(source, item, lazily);
  REQUIRE(reading.credentials.size() == 1);
  const auto& listed = *reading.credentials[0];
  CHECK(listed.leaf == issued.credential()->leaf);
  CHECK(listed.chain.empty());
  CHECK_FALSE(listed.key);
  CHECK_FALSE(listed.staple);
  CHECK_FALSE(same_credential(listed, listed));
  REQUIRE(listed.deferred);
  if (form == Form::Pair) CHECK(files.reads() == std::vector<std::string>{"/a.crt", "/a.ocsp"});

  const auto whole = listed.deferred->read(listed);
  REQUIRE(whole);
  CHECK((*whole)->chain.size() == 2);
  CHECK((*whole)->key);
  CHECK((*whole)->staple);
  CHECK_FALSE((*whole)->deferred);

  const auto renewed = authority.issue({.names = {"a.example"}});
  files.put("/a.crt", renewed.chain_pem());
  files.put("/a.key", renewed.key_pem);
  CHECK(listed.deferred->read(listed).value()->leaf.fingerprint == renewed.credential()->leaf.fingerprint);

  const auto other = authority.issue({.names = {"b.example"}});
  files.put("/a.crt", other.chain_pem());
  CHECK(listed.deferred->read(listed).error().text.find("the key does not match") != std::string::npos);
  files.put("/a.key", other.key_pem);
  CHECK(listed.deferred->read(listed).error().text.find("holds another certificate than when it was listed") !=
        std::string::npos);
  files.remove("/a.key");
  CHECK(listed.deferred->read(listed).error().text == "/a.key: does not exist");
  CHECK(read_item(source, item, lazily).problems.at(0).text == "/a.key: does not exist");
}

TEST_CASE("folders in which a change concerns a file") {
  class Links : public FileSource {
   public:
    Result<FileState> state(const std::string&) override { return FileState(); }
    Result<FileContents> read(const std::string&, std::size_t) override { return FileContents(); }
    Result<Listing> list(const std::string&) override { return Listing(); }
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
