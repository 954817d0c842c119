#include "certs/start_cache.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "tests/support/catch.h"
#include "tests/unit/certs/scripted_files.h"

using namespace postern;
using namespace postern::certs;

namespace {

using Strings = std::vector<std::string>;
constexpr std::string_view stamp = "postern 1 here";

const test::TestCa& ca() {
  static const test::TestCa authority = test::TestCa().intermediate("Sub");
  return authority;
}

/// Files with certificates, and the processes that read them one after the other.
struct World {
  test::ScriptedFiles files;
  SourceSettings settings;
  WallTime now = test::test_now();
  std::string cache;  // as the process before left it

  World() {
    settings.maps = {"/map"};
    settings.directories = {"/live"};
    files.put("/map", "map.example /map-ec.pem /map-rsa.pem\n");
    files.put("/map-ec.pem", ca().issue({.names = {"map.example"}}).combined_pem());
    files.put("/map-rsa.pem", ca().issue({.names = {"map.example"}, .kind = tls::KeyKind::Rsa}).combined_pem());
    files.put_pair("/live/a.example", ca().issue({.names = {"a.example", "*.a.example"}}));
    files.put_pair("/live/b.example", ca().issue({.names = {"b.example"}, .kind = tls::KeyKind::Ed25519}));
    (void)start();
  }

  struct Started {
    LoadOutcome outcome;
    Strings reads;
  };
  /// A new process that has the cache, which leaves one of its own.
  Started start() {
    Loader loader(files.source());
    files.reads();
    if (auto remembered = StartCache::read(cache, stamp)) loader.remember(std::move(*remembered));
    Started started{loader.load(settings, now), files.reads()};
    std::sort(started.reads.begin(), started.reads.end());
    cache = encode_start_cache(loader.remembered(), stamp);
    return started;
  }
};

/// What each name is served with, key included.
std::set<std::string> described(const Snapshot& snapshot) {
  std::set<std::string> all;
  snapshot.each([&all](std::string_view key, const Entry& entry) {
    for (const auto& credential : {entry.ecdsa, entry.rsa}) {
      if (!credential) continue;
      const auto& leaf = credential->leaf;
      std::string text = fmt::format("{} {} {} {} {} {} {} {}", key, credential->source, leaf.subject, leaf.issuer,
                                     to_string(leaf.key_kind), leaf.key_bits, credential->chain.size(),
                                     fmt::join(leaf.fingerprint, ","));
      text += fmt::format(" {} {}", leaf.not_before.time_since_epoch().count(), leaf.not_after.time_since_epoch().count());
      for (const auto& certificate : credential->chain) {
        text.append(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(certificate.get())),
                    CRYPTO_BUFFER_len(certificate.get()));
      }
      if (!credential->deferred) {
        const bssl::UniquePtr<X509> parsed(X509_parse_from_buffer(credential->chain[0].get()));
        const bssl::UniquePtr<EVP_PKEY> public_key(X509_get_pubkey(parsed.get()));
        REQUIRE(credential->key.get() != nullptr);
        text += EVP_PKEY_cmp(public_key.get(), credential->key.get()) == 1 ? " fits" : " does not fit";
      }
      all.insert(std::move(text));
    }
  });
  return all;
}

}  // namespace

TEST_CASE("a start from the cache reads what holds keys, and serves the same", "[start_cache]") {
  World world;
  const std::string before = world.cache;
  world.cache.clear();
  const auto cold = world.start();
  CHECK(cold.outcome.items_read_anew == 3);
  CHECK(world.cache == before);
  const auto warm = world.start();
  CHECK(warm.reads == Strings{"/live/a.example/privkey.pem", "/live/b.example/privkey.pem", "/map", "/map-ec.pem",
                              "/map-rsa.pem"});
  CHECK(warm.outcome.items_read_anew == 0);
  CHECK(warm.outcome.standing == cold.outcome.standing);
  CHECK(described(*warm.outcome.snapshot) == described(*cold.outcome.snapshot));
  CHECK(described(*warm.outcome.snapshot).size() == 5);
  CHECK(world.cache == before);
}

TEST_CASE("lazily, a start from the cache reads maps only", "[start_cache]") {
  World world;
  const auto facts = world.start().outcome.standing;
  world.settings.load = Load::Lazy;
  for (int process = 0; process < 2; ++process) {
    const auto warm = world.start();
    CHECK(warm.reads == Strings{"/map"});
    CHECK(warm.outcome.snapshot->name_count() == 4);
    const auto found = warm.outcome.snapshot->find(*DnsName::parse("x.a.example"));
    REQUIRE(found.entry != nullptr);
    REQUIRE(found.entry->ecdsa->deferred);
    CHECK(found.entry->ecdsa->chain.empty());
    CHECK(found.entry->ecdsa->deferred->read(*found.entry->ecdsa).value()->chain.size() == 2);
  }
  // What was written without chains is of no use to a process that wants them, and does no harm.
  world.settings.load = Load::Eager;
  CHECK(world.start().outcome.items_read_anew == 3);
}

TEST_CASE("a file that is another one is read, whatever the cache says", "[start_cache]") {
  World world;
  world.files.put_pair("/live/a.example", ca().issue({.names = {"a.example", "new.a.example"}}));
  auto warm = world.start();
  CHECK(warm.outcome.items_read_anew == 1);
  CHECK(warm.outcome.snapshot->find(*DnsName::parse("new.a.example")).entry != nullptr);

  // A key that does not fit is found out at once.
  world.files.put("/live/a.example/privkey.pem", test::TestKey().pem());
  warm = world.start();
  CHECK(warm.outcome.snapshot->find(*DnsName::parse("a.example")).entry == nullptr);
  REQUIRE(warm.outcome.standing.size() == 1);
  CHECK(warm.outcome.standing[0].text.find("the key does not match") != std::string::npos);
  // And by the next process, which is not told of items with faults.
  CHECK(world.start().outcome.standing == warm.outcome.standing);
}

TEST_CASE("a change that no state tells is told by the octets", "[start_cache]") {
  World world;
  SECTION("of a key, which is read in any case") {
    world.files.put_unseen("/live/a.example/privkey.pem", test::TestKey().pem());
    CHECK(world.start().outcome.snapshot->find(*DnsName::parse("a.example")).entry == nullptr);
  }
  SECTION("of a file with a key and a chain") {
    world.files.put_unseen("/map-ec.pem", ca().issue({.names = {"map.example"}}).combined_pem());
    CHECK(world.start().outcome.items_read_anew == 1);
  }
  SECTION("of a chain that was written just before it was read") {
    const std::string chain = "/live/a.example/fullchain.pem";
    const auto issued = ca().issue({.names = {"a.example"}});
    const auto renewed = ca().issue({.names = {"a.example", "more.example"}, .key = test::TestKey()});
    world.files.put_pair("/live/a.example", issued);
    world.files.set_time(chain, std::chrono::nanoseconds(world.now.time_since_epoch()));
    (void)world.start();
    world.files.put_unseen(chain, renewed.chain_pem());
    world.files.put("/live/a.example/privkey.pem", renewed.key_pem);
    CHECK(world.start().outcome.snapshot->find(*DnsName::parse("more.example")).entry != nullptr);
  }
  SECTION("until the file is old enough") {
    const std::string chain = "/live/a.example/fullchain.pem";
    world.files.set_time(chain, std::chrono::nanoseconds(world.now.time_since_epoch()));
    (void)world.start();
    world.now += std::chrono::seconds(2);
    const auto reads = world.start().reads;
    CHECK(std::find(reads.begin(), reads.end(), chain) != reads.end());
    world.now += std::chrono::seconds(1);
    (void)world.start();
    const auto later = world.start().reads;
    CHECK(std::find(later.begin(), later.end(), chain) == later.end());
  }
}

TEST_CASE("no octet of a private key is in the cache", "[start_cache]") {
  World world;
  const test::TestKey key;
  const auto issued = ca().issue({.names = {"c.example"}, .key = key});
  world.files.put_pair("/live/c.example", issued);
  (void)world.start();
  CHECK(world.cache.find("PRIVATE") == std::string::npos);
  std::array<std::uint8_t, 32> scalar{};
  const BIGNUM* number = EC_KEY_get0_private_key(EVP_PKEY_get0_EC_KEY(key.get()));
  REQUIRE(BN_bn2bin_padded(scalar.data(), scalar.size(), number));
  for (std::size_t i = 0; i + 8 <= scalar.size(); i += 8) {
    CHECK(world.cache.find(std::string(reinterpret_cast<const char*>(scalar.data()) + i, 8)) == std::string::npos);
  }
}

TEST_CASE("a damaged cache, or one of somebody else, is none", "[start_cache]") {
  World world;
  const std::string whole = world.cache;
  REQUIRE(StartCache::read(whole, stamp));
  CHECK(StartCache::read(whole, stamp).value()->size() == 3);
  CHECK(StartCache::read(whole, "postern 2 here").error().text == "is of another version or another machine");
  bool all_refused = true;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
    all_refused = all_refused && !StartCache::read(std::move(flipped), stamp);
    all_refused = all_refused && !StartCache::read(whole.substr(0, at), stamp);
  }
  CHECK(all_refused);
  CHECK_FALSE(StartCache::read(whole + "x", stamp));
  std::string older = whole;
  older.replace(older.find("cache 1"), 7, "cache 0");
  CHECK(StartCache::read(older, stamp).error().text == "is damaged, or of another version");
}

TEST_CASE("when the times of a file tell a later change", "[start_cache]") {
  const WallTime now = test::test_now();
  const auto at = [&](std::chrono::nanoseconds before) {
    const auto time = std::chrono::nanoseconds(now.time_since_epoch()) - before;
    return FileState{.device = 1, .inode = 1, .size = 1, .mtime_ns = 0, .ctime_ns = time.count()};
  };
  CHECK(state_tells_changes(at(std::chrono::milliseconds(2001)), now));
  CHECK_FALSE(state_tells_changes(at(std::chrono::milliseconds(2000)), now));
  CHECK_FALSE(state_tells_changes(at(std::chrono::seconds(-5)), now));  // a clock that is ahead
}
