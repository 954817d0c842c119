#include "daemon/app/ledger_heir.h"

#include <sys/socket.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using delivery::LedgerEntry;
using storage::StoredLedger;

namespace {

LedgerEntry served(std::uint8_t number) { return {{{number}}, {{number}}, std::nullopt}; }
LedgerEntry refused(std::uint8_t number) { return {{{number}}, {{number}}, smtp::Reply{552, "5.2.2", "over\nquota"}}; }

bool has(const StoredLedger& ledger, const LedgerEntry& entry) {
  const auto found = ledger.find(entry.envelope, entry.message);
  return found && found->refusal == entry.refusal;
}

bool held(const StoredLedger& ledger, const LedgerEntry& entry) { return ledger.held(entry.envelope, entry.message); }

/// The ledger of a posternd that is replaced, and the one that comes after it.
struct Two {
  test::TemporaryDirectory folder;
  std::unique_ptr<StoredLedger> before = open(), after;
  std::unique_ptr<app::LedgerTestament> testament;

  std::unique_ptr<StoredLedger> open() {
    auto opened = StoredLedger::open(
        {.state_dir = folder.path(), .settings = {}, .note = [](observe::Level, std::string_view) {}});
    REQUIRE(opened);
    return std::move(*opened);
  }

  static Result<void> record(StoredLedger& ledger, std::vector<LedgerEntry> entries) {
    std::promise<Result<void>> promise;
    ledger.record(std::move(entries), [&promise](Result<void> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  /// Returns the heir's end.
  Descriptor bequeath() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    std::promise<void> closed;
    before->bequeath(app::make_ledger_heir(Descriptor(ends[0])), [&closed] { closed.set_value(); });
    closed.get_future().wait();
    return Descriptor(ends[1]);
  }

  void hand_over() {
    Descriptor end = bequeath();
    after = open();
    testament = std::make_unique<app::LedgerTestament>(std::move(end), *after);
  }
};

}  // namespace

TEST_CASE("an heir has what was written, what is held, and all that the last sessions record, consume and release") {
  Two two;
  REQUIRE(Two::record(*two.before, {served(1), refused(2)}));
  two.before->hold({served(3)});
  two.hand_over();
  CHECK(has(*two.after, served(1)));
  CHECK(has(*two.after, refused(2)));

  REQUIRE(Two::record(*two.before, {refused(4), served(5)}));
  CHECK(has(*two.after, refused(4)));
  CHECK(has(*two.after, served(5)));
  CHECK(held(*two.after, served(3)));

  two.before->consume({refused(4)});
  two.before->release({served(3)});
  two.before->hold({served(6)});
  REQUIRE(Two::record(*two.before, {served(7)}));  // told after all that
  CHECK(!has(*two.after, refused(4)));
  CHECK(!held(*two.after, served(3)));
  CHECK(held(*two.after, served(6)));

  two.before.reset();  // with its holds
  two.testament.reset();
  CHECK(!held(*two.after, served(6)));
  two.after.reset();
  const auto third = two.open();
  for (const auto& entry : {served(1), refused(2), served(5), served(7)}) CHECK(has(*third, entry));
  CHECK(!has(*third, refused(4)));
}

TEST_CASE("what the heir consumed does not come back from the memory of the one before") {
  Two two;
  REQUIRE(Two::record(*two.before, {served(1)}));
  two.hand_over();
  two.after->consume({served(1)});
  REQUIRE(Two::record(*two.before, {served(2)}));
  CHECK(!has(*two.after, served(1)));
  two.testament.reset();
  CHECK(!Two::record(*two.before, {served(3)}));  // the heir is gone
  CHECK(has(*two.before, served(3)));             // in memory
  two.before.reset();
  two.after.reset();
  const auto third = two.open();
  CHECK(!has(*third, served(1)));
  CHECK(has(*third, served(2)));
}

TEST_CASE("without an heir after all, the file is ours again, with what was recorded meanwhile") {
  Two two;
  REQUIRE(Two::record(*two.before, {served(1)}));
  { const Descriptor gone = two.bequeath(); }
  CHECK(!Two::record(*two.before, {served(2)}));
  two.before->take_back();
  REQUIRE(Two::record(*two.before, {served(3)}));
  two.before.reset();
  const auto third = two.open();
  for (const auto& entry : {served(1), served(2), served(3)}) CHECK(has(*third, entry));
}
