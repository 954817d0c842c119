#include "certs/anchors.h"

#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;

namespace {

const WallTime now = test::test_now();
constexpr std::chrono::hours day{24};
constexpr const char* path = "/etc/roots.pem";

std::shared_ptr<const tls::Credential> credential_of(const std::string& chain_pem, const std::string& key_pem) {
  return tls::make_credential(chain_pem, "chain", key_pem, "key").value();
}

}  // namespace

TEST_CASE("a chain is vouched for when it leads to an anchor", "[anchors]") {
  const test::TestCa root("Root"), stranger("Stranger");
  const auto inner = root.intermediate("Inner");
  const auto anchors = Anchors::from_pem(root.root_pem(), path).value();
  const auto leaf = inner.issue({.names = {"mx.example.com"}});
  CHECK(anchors->vouch_for(*leaf.credential(), now));
  CHECK_FALSE(anchors->vouch_for(*credential_of(leaf.certificate_pem, leaf.key_pem), now));
  CHECK_FALSE(anchors->vouch_for(*stranger.issue({.names = {"mx.example.com"}}).credential(), now));
  CHECK_FALSE(anchors->vouch_for(*test::self_signed({.names = {"mx.example.com"}}).credential(), now));

  // Whether it is valid now is asked elsewhere.
  const auto past = inner.issue({.names = {"mx.example.com"}, .not_after = now - day});
  const auto future = inner.issue({.names = {"mx.example.com"}, .not_before = now + day});
  CHECK(anchors->vouch_for(*past.credential(), now));
  CHECK(anchors->vouch_for(*future.credential(), now));
}

TEST_CASE("the issuer that a chain lacks", "[anchors]") {
  const test::TestCa root("Root"), stranger("Stranger");
  const auto inner = root.intermediate("Inner");
  const auto innermost = inner.intermediate("Innermost");
  const auto anchors = Anchors::from_pem(root.root_pem(), path).value();
  const auto lacks = [&](const std::string& chain_pem, const std::string& key_pem) {
    const auto missing = anchors->missing_issuer(credential_of(chain_pem, key_pem)->chain, now);
    return missing ? fmt::format("{} {}", missing->place, missing->issuer) : std::string();
  };
  const auto direct = root.issue({.names = {"mx.example.com"}});
  const auto leaf = innermost.issue({.names = {"mx.example.com"}});
  CHECK(lacks(direct.chain_pem(), direct.key_pem).empty());
  CHECK(lacks(leaf.chain_pem(), leaf.key_pem).empty());
  CHECK(lacks(leaf.certificate_pem, leaf.key_pem) == "1 Innermost");
  CHECK(lacks(leaf.certificate_pem + innermost.certificate_pem(), leaf.key_pem) == "2 Inner");
  // A certificate that belongs to no link does not help.
  CHECK(lacks(leaf.certificate_pem + inner.certificate_pem(), leaf.key_pem) == "1 Innermost");
  // Self-signed ones lack nothing, trusted or not: alone, or at the end of the chain.
  const auto own = test::self_signed({.names = {"mx.example.com"}});
  CHECK(lacks(own.chain_pem(), own.key_pem).empty());
  const auto strange = stranger.issue({.names = {"mx.example.com"}});
  CHECK(lacks(strange.chain_pem(), strange.key_pem) == "1 Stranger");
  CHECK(lacks(strange.chain_pem() + stranger.root_pem(), strange.key_pem).empty());

  const auto pinned = Anchors::from_pem(inner.certificate_pem(), path).value();
  CHECK_FALSE(pinned->missing_issuer(leaf.credential()->chain, now));
}

TEST_CASE("the file of anchors is read when it is another one", "[anchors]") {
  test::ScriptedFiles scripted;
  const auto files = scripted.source();
  const test::TestCa first("First"), second("Second");
  const auto leaf = first.issue({.names = {"mx.example.com"}}).credential();
  AnchorFile file;

  CHECK_FALSE(file.look(*files, path));
  CHECK_FALSE(file.current());
  REQUIRE(file.fault());
  CHECK(file.fault()->text == "/etc/roots.pem: does not exist; certificates are served without knowing whether their "
                              "chains are trusted");

  scripted.put(path, first.root_pem());
  CHECK(file.look(*files, path));
  CHECK_FALSE(file.fault());
  CHECK(file.current()->vouch_for(*leaf, now));
  scripted.reads();
  CHECK_FALSE(file.look(*files, path));
  CHECK(scripted.reads().empty());

  scripted.put(path, "nonsense");
  CHECK_FALSE(file.look(*files, path));
  CHECK(file.fault()->text == "/etc/roots.pem: no certificate there; the trust anchors that were read before stay");
  CHECK(file.current()->vouch_for(*leaf, now));

  scripted.put(path, second.root_pem());
  CHECK(file.look(*files, path));
  CHECK_FALSE(file.current()->vouch_for(*leaf, now));

  // Without a path, the system's; without that, none, which is no fault.
  CHECK(file.look(*files, ""));
  CHECK_FALSE(file.current());
  CHECK_FALSE(file.fault());
  scripted.put("/etc/ssl/cert.pem", first.root_pem());
  CHECK(file.look(*files, ""));
  CHECK(file.current()->source() == "/etc/ssl/cert.pem");
}
