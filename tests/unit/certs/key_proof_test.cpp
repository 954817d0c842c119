#include "certs/loader.h"

#include <fmt/format.h>

#include <optional>

#include "certs/start_cache.h"
#include "tests/support/catch.h"
#include "tests/unit/certs/loader_bench.h"

using namespace postern;
using namespace postern::certs;
using test::issue;
using Strings = std::vector<std::string>;
using Bench = test::LoaderBench;
using test::sorted;

TEST_CASE("keys are believed at a start and proven afterwards", "[keys]") {
  Bench bench;
  bench.settings.directories = {"/live"};
  const test::TestKey mine, theirs;
  for (int i = 0; i < 5; ++i) {
    const auto name = fmt::format("{}.example", i);
    bench.files.put_pair("/live/" + name, issue({name}));
  }
  auto bad = test::ca().issue({.names = {"bad.example"}, .key = theirs});
  bad.key_pem = mine.pem_beside(theirs);
  bench.files.put_pair("/live/bad.example", bad);
  auto foreign = issue({"foreign.example"});
  foreign.key_pem = mine.pem();
  bench.files.put_pair("/live/foreign.example", foreign);

  bench.last = bench.loader.load(bench.settings, bench.now, run_inline, tls::KeyCheck::Claim);
  CHECK(bench.last.snapshot->name_count() == 6);
  CHECK(bench.has_fault("/live/foreign.example/privkey.pem: the key does not match the certificate of foreign.example"));
  CHECK(bench.loader.remembered().items.empty());
  CHECK(bench.loader.has_keys_to_prove());
  const auto copy = bench.loader.copy();

  std::optional<LoadOutcome> found;
  int pieces = 0;
  while (bench.loader.has_keys_to_prove()) {
    ++pieces;
    if (auto outcome = bench.loader.prove_keys(4, bench.now)) {
      CHECK_FALSE(found);
      found = std::move(outcome);
    }
  }
  CHECK(pieces == 2);
  REQUIRE(found);
  bench.last = std::move(*found);
  CHECK(bench.last.anything_changed);
  CHECK(sorted(bench.last.changes.removed) == Strings{"bad.example"});
  CHECK(bench.has_fault("/live/bad.example/privkey.pem:1: the private key cannot be used"));
  CHECK(bench.has_standing("/live/foreign.example/privkey.pem: the key does not match"));
  CHECK(bench.served("bad.example") == "-");
  CHECK(bench.served("4.example") == "/live/4.example/fullchain.pem");
  CHECK(bench.loader.remembered().items.size() == 5);
  CHECK_FALSE(bench.load().anything_changed);
  CHECK(bench.last.files_read == 0);

  bench.files.put_pair("/live/bad.example", test::ca().issue({.names = {"bad.example"}, .key = theirs}));
  CHECK(sorted(bench.load().changes.added) == Strings{"bad.example"});
  CHECK_FALSE(bench.loader.has_keys_to_prove());  // a renewal is checked at once
  CHECK(copy->has_keys_to_prove());
}

TEST_CASE("keys that went, or were read again, before they were proven", "[keys]") {
  Bench bench;
  bench.settings.directories = {"/live"};
  const test::TestKey mine, theirs;
  for (const auto* name : {"gone.example", "renewed.example"}) {
    auto bad = test::ca().issue({.names = {name}, .key = theirs});
    bad.key_pem = mine.pem_beside(theirs);
    bench.files.put_pair(std::string("/live/") + name, bad);
  }
  bench.last = bench.loader.load(bench.settings, bench.now, run_inline, tls::KeyCheck::Claim);
  CHECK(bench.last.snapshot->name_count() == 2);
  bench.files.put_pair("/live/renewed.example", issue({"renewed.example"}));
  bench.files.remove("/live/gone.example/privkey.pem");
  bench.files.remove("/live/gone.example/fullchain.pem");
  bench.files.remove("/live/gone.example");
  bench.load();
  bench.load(Loader::removal_delay);
  CHECK(bench.last.snapshot->name_count() == 1);
  CHECK_FALSE(bench.loader.prove_keys(100, bench.now));
  CHECK_FALSE(bench.loader.has_keys_to_prove());
  CHECK(bench.loader.remembered().items.size() == 1);
}

TEST_CASE("a key that is mended before it is proven takes the place of the bad one", "[keys]") {
  Bench bench;
  bench.settings.directories = {"/live"};
  const test::TestKey mine, theirs;
  auto issued = test::ca().issue({.names = {"mended.example"}, .key = theirs});
  const auto good_key = issued.key_pem;
  issued.key_pem = mine.pem_beside(theirs);
  bench.files.put_pair("/live/mended.example", issued);
  bench.last = bench.loader.load(bench.settings, bench.now, run_inline, tls::KeyCheck::Claim);
  bench.files.put("/live/mended.example/privkey.pem", good_key);
  bench.load();
  const auto found = bench.last.snapshot->find(*DnsName::parse("mended.example"));
  REQUIRE(found.entry != nullptr);
  CHECK(found.entry->ecdsa->key.can_be_decoded());
  CHECK_FALSE(bench.loader.prove_keys(100, bench.now));
}
