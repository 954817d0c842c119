#include "certs/name_index.h"

#include <fmt/format.h>

#include <map>
#include <random>
#include <string>
#include <thread>

#include "tests/support/catch.h"

using namespace postern;
using certs::NameIndex;

TEST_CASE("an interned key keeps its number") {
  NameIndex index;
  const auto a = index.intern("mx.example.com");
  const auto b = index.intern("*.example.com");
  CHECK(a == 0);
  CHECK(b == 1);
  CHECK(index.intern("mx.example.com") == a);
  CHECK(index.key(b) == "*.example.com");
  CHECK(index.find("*.example.com")->id == b);
  CHECK(index.find("*.example.com")->key == "*.example.com");
  CHECK_FALSE(index.find("example.com"));
  CHECK_FALSE(index.find(""));
  CHECK(index.size() == 2);
}

TEST_CASE("numbers and keys outlast growth, and an index that was grown from still answers") {
  auto index = std::make_unique<NameIndex>();
  std::vector<std::unique_ptr<NameIndex>> before;
  std::mt19937 random(7);
  std::vector<std::string> keys;
  for (unsigned i = 0; i < 20000; ++i) {
    keys.push_back(fmt::format("{}.{}.example", std::string(1 + random() % 60, static_cast<char>('a' + i % 26)), i));
    if (index->full()) {
      auto grown = index->grown();
      before.push_back(std::move(index));
      index = std::move(grown);
    }
    REQUIRE(index->intern(keys.back()) == i);
  }
  for (unsigned i = 0; i < keys.size(); ++i) {
    REQUIRE(index->find(keys[i])->id == i);
    REQUIRE(index->key(i) == keys[i]);
  }
  REQUIRE(before.size() > 5);
  const auto& old = *before[3];
  for (unsigned i = 0; i < old.size(); ++i) REQUIRE(old.find(keys[i])->id == i);
  CHECK_FALSE(old.find(keys[old.size()]));

  NameIndex::Id expected = 0;
  index->each(keys.size(), [&](NameIndex::Id id, std::string_view key) {
    REQUIRE(id == expected++);
    REQUIRE(key == keys[id]);
  });
  CHECK(expected == keys.size());
}

TEST_CASE("keys of the greatest length fit in an index that is full of them") {
  NameIndex index;
  unsigned count = 0;
  for (; !index.full(); ++count) index.intern(fmt::format("{:a>255}", count));
  CHECK(count > 10);
  for (unsigned i = 0; i < count; ++i) REQUIRE(index.find(fmt::format("{:a>255}", i))->id == i);
}

TEST_CASE("readers may look while a name is added") {
  auto index = std::make_unique<NameIndex>();
  for (unsigned i = 0; i < 3000; ++i) {
    if (index->full()) index = index->grown();
    index->intern(fmt::format("old{}.example", i));
  }
  while (index->full()) index = index->grown();
  std::atomic<bool> done{false};
  std::atomic<unsigned> wrong{0};
  std::thread reader([&] {
    for (unsigned i = 0; !done; i = (i + 1) % 3000) {
      const auto old = index->find(fmt::format("old{}.example", i));
      if (!old || old->id != i) ++wrong;
      const auto added = index->find(fmt::format("new{}.example", i));
      if (added && added->key != fmt::format("new{}.example", i)) ++wrong;
    }
  });
  for (unsigned i = 0; !index->full(); ++i) index->intern(fmt::format("new{}.example", i));
  done = true;
  reader.join();
  CHECK(wrong == 0);
}
