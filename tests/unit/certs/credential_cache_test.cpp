#include "certs/credential_cache.h"

#include <atomic>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::certs;
using CredentialPtr = CredentialCache::CredentialPtr;

namespace {

const CredentialPtr& whole() {
  static const CredentialPtr made = test::TestCa().issue({.names = {"a.example"}}).credential();
  return made;
}

/// What is read back is `whole()`, or an error.
class Scripted final : public tls::Deferred {
 public:
  Result<CredentialPtr> read(const tls::Credential&) const override {
    ++reads;
    if (!error.empty()) return fail_with({error});
    return whole();
  }
  mutable std::atomic<int> reads{0};
  std::string error;
};

CredentialPtr listed(std::shared_ptr<const tls::Deferred> deferred) {
  auto made = std::make_shared<tls::Credential>();
  made->leaf = whole()->leaf;
  made->source = "/a.pem";
  made->deferred = std::move(deferred);
  return made;
}

}  // namespace

TEST_CASE("what was fetched is found, until it is the least recently used", "[credential_cache]") {
  const auto files = std::make_shared<Scripted>();
  const auto a = listed(files), b = listed(files), c = listed(files);
  CredentialCache cache(2);
  CHECK_FALSE(cache.find(a));
  CHECK(cache.fetch(a).credential.value() == whole());
  CHECK(cache.find(a) == whole());
  CHECK(cache.fetch(a).credential);
  CHECK(files->reads == 1);
  cache.fetch(b);
  cache.find(a);
  cache.fetch(c);
  CHECK(cache.size() == 2);
  CHECK(cache.find(a));
  CHECK_FALSE(cache.find(b));
  CHECK(cache.find(c));
  cache.set_capacity(1);
  CHECK(cache.size() == 1);
  CHECK(cache.find(c));
}

TEST_CASE("a failure is told once, stands until it is over, and goes with the certificate", "[credential_cache]") {
  const auto files = std::make_shared<Scripted>();
  files->error = "/a.key: does not exist";
  auto a = listed(files);
  CredentialCache cache(2);
  const auto first = cache.fetch(a);
  CHECK_FALSE(first.credential);
  REQUIRE(first.new_fault);
  CHECK(first.new_fault->text == "/a.key: does not exist; the default is served instead");
  CHECK_FALSE(cache.fetch(a).new_fault);
  CHECK(cache.faults().size() == 1);
  files->error = "/a.key: is a folder";
  CHECK(cache.fetch(a).new_fault);
  CHECK(cache.faults().size() == 1);

  files->error.clear();
  CHECK(cache.fetch(a).credential);
  CHECK(cache.faults().empty());

  files->error = "gone";
  auto b = listed(files);
  cache.fetch(b);
  CHECK(cache.faults().size() == 1);
  b.reset();
  CHECK(cache.faults().empty());
}

TEST_CASE("a cache that many threads use", "[credential_cache]") {
  const auto files = std::make_shared<Scripted>();
  std::vector<CredentialPtr> all;
  for (int i = 0; i < 20; ++i) all.push_back(listed(files));
  CredentialCache cache(5);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 2000; ++i) {
        const auto& one = all[(i * (t + 1)) % all.size()];
        if (const auto found = cache.find(one); found && found != whole()) ++wrong;
        const auto fetched = cache.fetch(one).credential;
        if (!fetched || *fetched != whole()) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(cache.size() == 5);
}
