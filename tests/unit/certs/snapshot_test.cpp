#include "certs/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "certs/claim_table.h"
#include "certs/item.h"
#include "tests/support/catch.h"
#include "tests/support/test_ca.h"

using namespace postern;
using namespace postern::certs;

namespace {

CredentialPtr credential(const std::string& subject) {
  auto made = std::make_shared<tls::Credential>();
  made->leaf.subject = subject;
  made->leaf.not_before = test::test_now() - std::chrono::days(1);
  made->leaf.not_after = test::test_now() + std::chrono::days(1);
  static std::uint8_t serial = 0;
  made->leaf.fingerprint[0] = ++serial;
  return made;
}

Holder holder_of(const std::string& subject) {
  Holder holder;
  holder.credentials = {credential(subject)};
  return holder;
}

/// A map in which every key has a certificate with the key as its subject.
std::shared_ptr<const Snapshot> snapshot_of(const std::vector<std::string>& keys) {
  ClaimTable table;
  HolderId id = 0;
  for (const auto& key : keys) {
    table.set(id++, holder_of(key), {{table.intern(key), Basis::Declared, 0}});
  }
  return table.resolve(test::test_now(), std::make_shared<const Snapshot::Index::Ids>()).snapshot;
}

std::string found(const Snapshot& snapshot, const std::string& name) {
  const auto result = snapshot.find(*DnsName::parse(name));
  if (result.entry == nullptr) return "-";
  REQUIRE(result.key == result.entry->ecdsa->leaf.subject);
  return fmt::format("{} {}", tls::to_string(result.match), result.key);
}

/// The rules of DESIGN section 4, in the most obvious way.
std::string found_slowly(const std::set<std::string>& keys, const std::string& name) {
  if (keys.contains(name)) return fmt::format("{} {}", tls::to_string(tls::Match::Exact), name);
  const auto dot = name.find('.');
  if (dot == std::string::npos) return "-";
  if (keys.contains("*" + name.substr(dot))) {
    return fmt::format("{} *{}", tls::to_string(tls::Match::Wildcard), name.substr(dot));
  }
  for (std::string rest = name.substr(dot); !rest.empty();) {
    if (keys.contains(rest)) return fmt::format("{} {}", tls::to_string(tls::Match::Parent), rest);
    const auto next = rest.find('.', 1);
    rest = next == std::string::npos ? "" : rest.substr(next);
  }
  return "-";
}

}  // namespace

TEST_CASE("exact, then one label under a wildcard, then the nearest parent entry") {
  const auto snapshot = snapshot_of({"mx.example.com", "*.example.com", ".example.com", ".deep.example.com", "example.net",
                                     "*.example.org", "localhost"});
  const auto exact = tls::to_string(tls::Match::Exact);
  CHECK(found(*snapshot, "mx.example.com") == fmt::format("{} mx.example.com", exact));
  CHECK(found(*snapshot, "MX2.example.com.") == fmt::format("{} *.example.com", tls::to_string(tls::Match::Wildcard)));
  CHECK(found(*snapshot, "a.b.example.com") == fmt::format("{} .example.com", tls::to_string(tls::Match::Parent)));
  CHECK(found(*snapshot, "a.b.deep.example.com") == fmt::format("{} .deep.example.com", tls::to_string(tls::Match::Parent)));
  CHECK(found(*snapshot, "example.com") == "-");   // neither a wildcard nor a parent entry answers for its apex
  CHECK(found(*snapshot, "mx.example.net") == "-");  // nor a name for its children
  CHECK(found(*snapshot, "a.b.example.org") == "-");
  CHECK(found(*snapshot, "com") == "-");
  CHECK(found(*snapshot, "localhost") == fmt::format("{} localhost", exact));
  CHECK(snapshot->name_count() == 7);
}

TEST_CASE("an empty map has nothing") {
  const auto snapshot = empty_snapshot();
  CHECK(found(*snapshot, "mx.example.com") == "-");
  CHECK(snapshot->find_default("mx.example.com") == nullptr);
  CHECK(snapshot->find_default("") == nullptr);
  CHECK(snapshot->name_count() == 0);
  CHECK(snapshot->version() == 0);
}

TEST_CASE("a default by id or by name, in any case") {
  ClaimTable table;
  table.set(1, holder_of("mx.example.com"), {{table.intern("mx.example.com"), Basis::Declared, 0}, {table.intern("*.example.net"), Basis::Declared, 0}});
  auto ids = std::make_shared<Snapshot::Index::Ids>();
  (*ids)["Main"] = {.ecdsa = credential("main"), .rsa = nullptr};
  const auto snapshot = table.resolve(test::test_now(), ids).snapshot;
  CHECK(snapshot->find_default("Main")->ecdsa->leaf.subject == "main");
  CHECK(snapshot->find_default("main") == nullptr);
  CHECK(snapshot->find_default("MX.example.com.")->ecdsa->leaf.subject == "mx.example.com");
  CHECK(snapshot->find_default("*.example.net") != nullptr);
  CHECK(snapshot->find_default("any.example.net") != nullptr);
  CHECK(snapshot->find_default("other.example") == nullptr);
  CHECK(snapshot->find_default(std::string(300, 'a')) == nullptr);
}

TEST_CASE("look-up agrees with a slow obvious one") {
  std::mt19937 random(23);
  const std::vector<std::string> labels{"a", "b", "mx", "example"};
  const auto random_name = [&](unsigned max) {
    std::string name;
    for (auto n = 1 + random() % max; n > 0; --n) name += (name.empty() ? "" : ".") + labels[random() % labels.size()];
    return name;
  };
  for (int round = 0; round < 60; ++round) {
    std::set<std::string> keys;
    for (auto n = random() % 60; n > 0; --n) {
      const char* prefixes[] = {"", "", "*.", "."};
      keys.insert(prefixes[random() % 4] + random_name(4));
    }
    const auto snapshot = snapshot_of({keys.begin(), keys.end()});
    for (int i = 0; i < 200; ++i) {
      const auto name = random_name(6);
      CAPTURE(name);
      REQUIRE(found(*snapshot, name) == found_slowly(keys, name));
    }
  }
}

TEST_CASE("the look-up finds what a slow and obvious one finds") {
  std::mt19937 random(7);
  const auto label = [&] { return std::string(1, static_cast<char>('a' + random() % 3)); };
  const auto name_of = [&](std::size_t labels) {
    std::string name = label();
    for (std::size_t i = 1; i < labels; ++i) name += "." + label();
    return name;
  };
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, Entry> slow;
    for (int i = 0; i < 12; ++i) {
      const std::string prefix = std::array{"", "*.", "."}[random() % 3];
      auto made = std::make_shared<tls::Credential>();
      slow[prefix + name_of(1 + random() % 4)].ecdsa = std::move(made);
    }
    const auto fast = make_snapshot({slow.begin(), slow.end()}, std::make_shared<const Snapshot::Index::Ids>(), 1);
    for (int i = 0; i < 50; ++i) {
      const std::string asked = name_of(1 + random() % 5);
      std::vector<std::string> keys{asked};
      if (const auto dot = asked.find('.'); dot != std::string::npos) keys.push_back("*" + asked.substr(dot));
      for (auto dot = asked.find('.'); dot != std::string::npos; dot = asked.find('.', dot + 1)) {
        keys.push_back(asked.substr(dot));
      }
      const auto expected = std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return slow.contains(key); });
      const auto found = fast->find(*DnsName::parse(asked));
      INFO(asked);
      REQUIRE((found.entry != nullptr) == (expected != keys.end()));
      if (found.entry == nullptr) continue;
      CHECK(found.key == *expected);
      CHECK(found.entry->ecdsa == slow.at(*expected).ecdsa);
    }
  }
}
