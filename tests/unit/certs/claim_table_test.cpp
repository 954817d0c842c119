#include "certs/claim_table.h"

#include <fmt/format.h>

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

const auto no_ids = std::make_shared<const Snapshot::Index::Ids>();

}  // namespace

TEST_CASE("each generation stays as it was, shares what did not change, and enumerates its own") {
  ClaimTable table;
  const auto ids = std::make_shared<const Snapshot::Index::Ids>();
  for (HolderId id = 0; id < 2000; ++id) {
    table.set(id, holder_of("first"), {{table.intern(fmt::format("mx{}.example", id)), Basis::Declared, 0}});
  }
  const auto first = table.resolve(test::test_now(), ids);
  CHECK(first.changes.added.size() == 2000);

  table.set(5, holder_of("second"), {{table.intern("mx5.example"), Basis::Declared, 0}});
  table.remove(6);
  table.set(5000, holder_of("new"),
            {{table.intern("new.example"), Basis::Declared, 0}});
  const auto second = table.resolve(test::test_now(), ids);
  CHECK(second.changes.renewed.strings() == std::vector<std::string>{"mx5.example"});
  CHECK(second.changes.removed.strings() == std::vector<std::string>{"mx6.example"});
  CHECK(second.changes.added.strings() == std::vector<std::string>{"new.example"});

  const auto subject = [](const Snapshot& snapshot, const char* name) {
    const auto result = snapshot.find(*DnsName::parse(name));
    return result.entry == nullptr ? "-" : result.entry->ecdsa->leaf.subject;
  };
  CHECK(subject(*first.snapshot, "mx5.example") == "first");
  CHECK(subject(*second.snapshot, "mx5.example") == "second");
  CHECK(subject(*first.snapshot, "mx6.example") == "first");
  CHECK(subject(*second.snapshot, "mx6.example") == "-");
  CHECK(subject(*first.snapshot, "new.example") == "-");
  CHECK(subject(*second.snapshot, "new.example") == "new");
  CHECK(second.snapshot->version() == first.snapshot->version() + 1);
  CHECK(first.snapshot->find(*DnsName::parse("mx1000.example")).entry ==
        second.snapshot->find(*DnsName::parse("mx1000.example")).entry);

  std::size_t in_first = 0, in_second = 0;
  first.snapshot->each([&](std::string_view, const Entry&) { ++in_first; });
  second.snapshot->each([&](std::string_view, const Entry&) { ++in_second; });
  CHECK(in_first == 2000);
  CHECK(in_second == 2000);
  CHECK(second.snapshot->name_count() == 2000);

  CHECK(table.resolve(test::test_now(), ids).snapshot == second.snapshot);
}

TEST_CASE("a holder keeps the right of the one who serves through a renewal, and loses it with its claim") {
  ClaimTable table;
  const auto now = test::test_now();
  const auto set = [&](HolderId id, const char* lineage, bool claims) {
    Holder holder = holder_of(lineage);
    holder.lineage = holder.label = lineage;
    std::vector<Claim> wanted;
    if (claims) wanted.push_back({table.intern("mx.example"), Basis::San, 0});
    table.set(id, std::move(holder), wanted);
    return table.resolve(now, no_ids);
  };
  set(2, "first", true);
  const auto held = set(1, "second", true);
  REQUIRE(held.new_conflicts.size() == 1);
  CHECK(held.new_conflicts[0].source == "second");
  CHECK(set(2, "first", true).new_conflicts.empty());
  CHECK(table.conflicts().size() == 1);
  CHECK(table.served(1) == 0);
  CHECK(table.claimed(1) == 1);
  CHECK(table.served(2) == 1);
  set(2, "first", false);
  CHECK(table.served(1) == 1);
  CHECK(table.conflicts().empty());
  CHECK(set(2, "first", true).new_conflicts.size() == 1);
  CHECK(table.served(1) == 1);
  table.remove(2);
  table.resolve(now, no_ids);
  CHECK(table.conflicts().empty());
  table.remove(2);
}

TEST_CASE("a conflict about many names is one sentence") {
  ClaimTable table;
  std::vector<Claim> claims;
  for (int i = 0; i < 20; ++i) claims.push_back({table.intern(fmt::format("mx{}.example", i)), Basis::San, 0});
  for (HolderId id : {1u, 2u}) {
    Holder holder = holder_of("x");
    holder.lineage = holder.label = fmt::format("file{}", id);
    table.set(id, std::move(holder), claims);
  }
  const auto resolution = table.resolve(test::test_now(), no_ids);
  REQUIRE(resolution.new_conflicts.size() == 1);
  CHECK(resolution.new_conflicts[0].text.find("mx3.example, mx4.example and 15 more among its names too") != std::string::npos);
}
