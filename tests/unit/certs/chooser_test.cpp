#include "certs/chooser.h"

#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "base/shared_view.h"
#include "certs/loader.h"
#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;
using tls::KeyKind;
using tls::Match;

namespace {

constexpr std::uint16_t rsa_pss = 0x0804, ecdsa_p256 = 0x0403, ecdsa_p384 = 0x0503, ed25519 = 0x0807;

/// A TLS 1.3 ClientHello that can verify these.
tls::ClientHello hello(const std::string& name, std::vector<std::uint16_t> schemes = {ecdsa_p256, rsa_pss}) {
  tls::ClientHello made;
  made.versions = {0x0304};
  made.cipher_suites = {0x1301};
  made.groups = {29, 23};
  made.signature_schemes = std::move(schemes);
  made.raw_server_name = name;
  made.server_name = DnsName::parse(name);
  made.sni = name.empty() ? tls::SniKind::Absent : made.server_name ? tls::SniKind::HostName : tls::SniKind::Unusable;
  return made;
}

struct World {
  World() {
    const test::TestCa ca;
    const auto put = [&](const std::string& stem, std::vector<std::string> names, KeyKind kind) {
      files.put("/c/" + stem + ".pem", ca.issue({.names = std::move(names), .kind = kind}).combined_pem());
    };
    put("both-ec", {"both.example"}, KeyKind::EcdsaP256);
    put("both-rsa", {"both.example"}, KeyKind::Rsa);
    put("p384", {"p384.example"}, KeyKind::EcdsaP384);
    put("ed", {"ed.example"}, KeyKind::Ed25519);
    put("wild", {"*.wild.example"}, KeyKind::EcdsaP256);
    put("default", {"default.example", "default"}, KeyKind::Rsa);
    put("other-default", {"other.example"}, KeyKind::EcdsaP256);
    settings.directories = {"/c"};
    snapshot = loader.load(settings, test::test_now()).snapshot;
  }
  tls::Choice choose(const tls::ClientHello& client, const std::string& listener = "smtp") const {
    return Chooser(snapshot, listener, "default.example").choose(client);
  }
  std::string source(const tls::ClientHello& client) const {
    const auto choice = choose(client);
    return choice.credential ? fmt::format("{} {}", choice.credential->source, tls::to_string(choice.match)) : "none";
  }

  test::ScriptedFiles files;
  SourceSettings settings;
  Loader loader{files.source()};
  std::shared_ptr<const Snapshot> snapshot;
};

const World& world() {
  static const World made;
  return made;
}

std::string expected(const std::string& source, Match match) { return fmt::format("/c/{}.pem {}", source, to_string(match)); }

}  // namespace

TEST_CASE("the kind of key that the client can verify, EC first") {
  CHECK(world().source(hello("both.example")) == expected("both-ec", Match::Exact));
  CHECK(world().source(hello("both.example", {rsa_pss})) == expected("both-rsa", Match::Exact));
  CHECK(world().source(hello("p384.example", {ecdsa_p384})) == expected("p384", Match::Exact));
  CHECK(world().source(hello("ed.example", {ed25519})) == expected("ed", Match::Exact));
  CHECK(world().source(hello("mx.wild.example")) == expected("wild", Match::Wildcard));
}

TEST_CASE("no name, an unknown one and one that is no host name get the default") {
  CHECK(world().source(hello("")) == expected("default", Match::Default));
  CHECK(world().source(hello("unknown.example")) == expected("default", Match::Default));
  CHECK(world().source(hello("192.0.2.1")) == expected("default", Match::Default));
  CHECK(world().source(hello("wild.example")) == expected("default", Match::Default));
}

TEST_CASE("a client that cannot verify the name's kind of key gets a default that it can; else the name's own") {
  CHECK(world().source(hello("ed.example", {rsa_pss})) == expected("default", Match::Default));
  CHECK(world().source(hello("ed.example", {ecdsa_p256})) == expected("ed", Match::Exact));
  CHECK(world().source(hello("", {ecdsa_p256})) == expected("default", Match::Default));
}

TEST_CASE("without a default there is nothing to serve, unless the name is in the map") {
  const Chooser chooser(world().snapshot, "smtp", "missing.example");
  CHECK(chooser.choose(hello("unknown.example")).credential == nullptr);
  CHECK(chooser.choose(hello("both.example")).credential != nullptr);
  CHECK(Chooser(empty_snapshot(), "smtp", "x").choose(hello("both.example")).credential == nullptr);
}

TEST_CASE("ticket identities differ by listener, entry and leaf, and by nothing else") {
  const auto identity = [](const std::string& name, const std::string& listener = "smtp",
                           std::vector<std::uint16_t> schemes = {ecdsa_p256, rsa_pss}) {
    return world().choose(hello(name, std::move(schemes)), listener).identity;
  };
  const auto both = identity("both.example");
  CHECK(identity("both.example") == both);
  CHECK(identity("both.example", "smtp", {rsa_pss}) == both);
  CHECK(identity("BOTH.example.") == both);
  CHECK(identity("both.example", "smtps") != both);
  CHECK(identity("p384.example", "smtp", {ecdsa_p384}) != both);
  CHECK(identity("a.wild.example") == identity("b.wild.example"));
  CHECK(identity("") == identity("unknown.example"));
  CHECK(identity("") != identity("default.example"));
  CHECK(identity("") != identity("default"));
  CHECK(Chooser(world().snapshot, "smtp", "other.example").choose(hello("")).identity != identity(""));

  World renewed;
  CHECK(renewed.choose(hello("both.example")).identity != both);
}

TEST_CASE("handshakes choose while the loader publishes") {
  test::ScriptedFiles files;
  const test::TestCa ca;
  const test::Issued versions[] = {ca.issue({.names = {"mx.example", "first.example"}}),
                                   ca.issue({.names = {"mx.example", "second.example"}})};
  files.put("/c/mx.pem", versions[0].combined_pem());
  SourceSettings settings;
  settings.directories = {"/c"};
  Loader loader(files.source());
  const auto now = test::test_now();
  Publisher<Snapshot> publisher(loader.load(settings, now).snapshot);
  std::atomic<bool> done{false};
  std::atomic<unsigned> wrong{0}, chosen{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      View<Snapshot> view(publisher);
      const auto client = hello("mx.example");
      while (!done) {
        const auto choice = Chooser(view.get(), "smtp", "mx.example").choose(client);
        if (!choice.credential || choice.match != Match::Exact) ++wrong;
        for (unsigned n = 0; n < 20; ++n) {
          const auto found = view.get()->find(*DnsName::parse(fmt::format("new{}.example", n)));
          if (found.entry != nullptr && found.entry->empty()) ++wrong;
        }
        ++chosen;
      }
    });
  }
  for (unsigned i = 1; i <= 100; ++i) {
    files.put("/c/mx.pem", versions[i % 2].combined_pem());
    if (i % 5 == 0) files.put(fmt::format("/c/n{}.pem", i), ca.issue({.names = {fmt::format("new{}.example", i / 5)}}).combined_pem());
    const auto old = publisher.publish(loader.load(settings, now + std::chrono::seconds(i)).snapshot);
  }
  while (chosen < 10) std::this_thread::yield();
  done = true;
  for (auto& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(publisher.current()->name_count() == 22);
}

TEST_CASE("a deferred credential is given as it is listed, and whole once it is in the cache", "[lazy]") {
  World world;
  world.settings.load = Load::Lazy;
  const auto snapshot = world.loader.load(world.settings, test::test_now()).snapshot;
  CredentialCache cache(10);
  const Chooser chooser(snapshot, "smtp", "default.example", snapshot, &cache);
  const auto listed = chooser.choose(hello("both.example"));
  REQUIRE(listed.credential);
  CHECK(listed.credential->deferred);
  CHECK(listed.credential->source == "/c/both-ec.pem");
  cache.fetch(listed.credential);
  const auto whole = chooser.choose(hello("both.example"));
  CHECK_FALSE(whole.credential->deferred);
  CHECK(whole.credential->key);
  CHECK(whole.identity == listed.identity);
  CHECK(whole.identity == world.choose(hello("both.example")).identity);

  const auto fallback = chooser.choose_default(hello("both.example"));
  CHECK(fallback.credential->source == "/c/default.pem");
  CHECK(fallback.match == Match::Default);
}
