#include "daemon/storage/ledger.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>

#include "daemon/storage/database.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using delivery::Lane;
using delivery::LedgerEntry;

namespace {

/// A state_dir, and one ledger after the other in it.
struct Setup {
  test::TemporaryDirectory folder;
  std::vector<std::string> notes;
  std::unique_ptr<storage::StoredLedger> ledger;

  storage::StoredLedger::Options options(delivery::LedgerSettings settings = {}) {
    return {.state_dir = folder.path(), .settings = settings, .note = [this](observe::Level, std::string_view text) {
              notes.emplace_back(text);
            }};
  }
  storage::StoredLedger& open(storage::StoredLedger::Options with) {
    ledger.reset();
    auto opened = storage::StoredLedger::open(std::move(with));
    REQUIRE(opened);
    ledger = std::move(*opened);
    return *ledger;
  }
  storage::StoredLedger& open() { return open(options()); }
  std::string file() { return folder.path() + "/ledger.sqlite"; }

  Result<void> record(std::vector<LedgerEntry> entries) {
    std::promise<Result<void>> promise;
    ledger->record(std::move(entries), [&promise](Result<void> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
};

LedgerEntry served(std::uint8_t number) { return {{{number}}, {{number}}, std::nullopt}; }
LedgerEntry refused(std::uint8_t number) { return {{{number}}, {{number}}, smtp::Reply{552, "5.2.2", "over\nquota"}}; }

bool has(const storage::StoredLedger& ledger, const LedgerEntry& entry) {
  const auto found = ledger.find(entry.envelope, entry.message);
  return found && found->refusal == entry.refusal;
}

}  // namespace

TEST_CASE("entries survive the process, and are gone once consumed") {
  Setup setup;
  setup.open();
  CHECK(setup.ledger->empty());
  REQUIRE(setup.record({served(1), refused(2)}));
  CHECK(!setup.ledger->empty());
  const auto secret = setup.ledger->secret().octets;

  auto& second = setup.open();
  CHECK(second.secret().octets == secret);
  CHECK(has(second, served(1)));
  CHECK(has(second, refused(2)));
  CHECK(second.lane(refused(2).envelope) == Lane::Refused);
  CHECK(second.knows(served(1).envelope));
  CHECK(!second.knows(served(3).envelope));
  second.consume({served(1), served(7)});
  CHECK(!second.knows(served(1).envelope));

  auto& third = setup.open();
  CHECK(third.counts().entries == 1);
  CHECK(has(third, refused(2)));
  REQUIRE(setup.record({{refused(2).envelope, refused(2).message, std::nullopt}}));
  CHECK(setup.open().lane(refused(2).envelope) == Lane::Open);
  CHECK(setup.notes.empty());
}

TEST_CASE("a hold lasts until it is released as often as it was taken") {
  Setup setup;
  setup.open();
  setup.ledger->hold({served(1), served(1), served(2)});
  CHECK(!setup.ledger->empty());
  CHECK(setup.ledger->counts().entries == 0);
  CHECK(setup.ledger->knows(served(1).envelope));
  CHECK(setup.ledger->lane(served(1).envelope) == Lane::Open);
  CHECK(setup.ledger->held(served(1).envelope, served(1).message));
  CHECK(!setup.ledger->held(served(1).envelope, served(2).message));
  setup.ledger->release({served(1), served(2), served(3)});
  CHECK(setup.ledger->held(served(1).envelope, served(1).message));
  setup.ledger->release({served(1)});
  CHECK(!setup.ledger->held(served(1).envelope, served(1).message));
  CHECK(setup.ledger->empty());
}

TEST_CASE("the number of entries is bounded, in memory and on disk") {
  Setup setup;
  setup.open(setup.options({std::chrono::hours(1), 3}));
  for (std::uint8_t n = 0; n < 10; ++n) REQUIRE(setup.record({served(n)}));
  CHECK(setup.ledger->counts().entries == 3);
  CHECK(setup.ledger->counts().dropped == 7);
  CHECK(setup.open().counts().entries == 3);
}

TEST_CASE("expired entries are not found, and leave the file") {
  Setup setup;
  setup.open(setup.options({std::chrono::nanoseconds(1), 100}));
  REQUIRE(setup.record({served(1)}));
  while (setup.ledger->knows(served(1).envelope)) std::this_thread::yield();
  CHECK(setup.ledger->empty());
  setup.ledger->configure({std::chrono::hours(1), 100});
  REQUIRE(setup.record({served(2)}));
  setup.ledger.reset();
  auto database = storage::Database::open(setup.file());
  REQUIRE(database);
  CHECK(database->integer("SELECT count(*) FROM entry").value() == 1);
}

TEST_CASE("a full queue is said at once; what is in memory holds, and reaches the disk with the next write") {
  Setup setup;
  auto narrow = setup.options();
  narrow.waiting_max = 2;
  setup.open(std::move(narrow));
  CHECK(!setup.record({served(1), served(2), served(3)}));
  CHECK(has(*setup.ledger, served(3)));
  CHECK(setup.ledger->counts().failures == 1);
  REQUIRE(setup.record({served(4)}));
  CHECK(setup.open().counts().entries == 4);
}

TEST_CASE("a file that is none, damaged or of another version is set aside") {
  Setup setup;
  setup.open();
  std::vector<LedgerEntry> many;
  for (std::uint8_t n = 0; n < 200; ++n) many.push_back(refused(n));
  REQUIRE(setup.record(many));
  setup.ledger.reset();

  SECTION("no database") { std::ofstream(setup.file()) << std::string(10'000, 'x'); }
  SECTION("damaged pages") {
    std::fstream file(setup.file(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096);
    file << std::string(4096 * 2, 'x');
  }
  SECTION("cut short") { std::filesystem::resize_file(setup.file(), 5000); }
  SECTION("of a later posternd") {
    auto database = storage::Database::open(setup.file());
    REQUIRE(database);
    REQUIRE(database->run("PRAGMA user_version = 2"));
  }
  SECTION("another program's") {
    auto database = storage::Database::open(setup.file());
    REQUIRE(database);
    REQUIRE(database->run("DROP TABLE entry; PRAGMA user_version = 0; CREATE TABLE other (x)"));
  }
  SECTION("an entry that is none") {
    auto database = storage::Database::open(setup.file());
    REQUIRE(database);
    REQUIRE(database->run("UPDATE entry SET code = 250"));
  }
  setup.open();
  CHECK(setup.ledger->empty());
  REQUIRE(setup.notes.size() == 1);
  CHECK(setup.notes[0].find("set aside as") != std::string::npos);
  REQUIRE(setup.record({served(1)}));
  CHECK(setup.open().counts().entries == 1);
  CHECK(setup.notes.size() == 1);
}

TEST_CASE("a disk that cannot be written is said once, and caught up with") {
  Setup setup;
  REQUIRE(::mkdir(setup.file().c_str(), 0700) == 0);
  setup.open();
  CHECK(setup.notes.size() == 1);
  CHECK(!setup.record({served(1)}));
  CHECK(!setup.record({served(2)}));
  CHECK(has(*setup.ledger, served(1)));
  CHECK(setup.ledger->counts().last_failure != "");
  REQUIRE(::rmdir(setup.file().c_str()) == 0);
  CHECK(setup.record({served(3)}));
  setup.ledger->stop();
  CHECK(setup.ledger->counts().last_failure.empty());
  CHECK(setup.notes.size() == 3);  // cannot be read; cannot be written; can again
  CHECK(setup.open().counts().entries == 3);
}

TEST_CASE("the secret is made once, for its owner alone") {
  Setup setup;
  setup.open();
  struct stat status {};
  REQUIRE(::stat((setup.folder.path() + "/ledger.key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  CHECK(status.st_size == 32);
  REQUIRE(::stat(setup.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  setup.ledger.reset();
  std::ofstream(setup.folder.path() + "/ledger.key") << "short";
  const auto refused = storage::StoredLedger::open(setup.options());
  REQUIRE(!refused);
  CHECK(refused.error().text.find("ledger.key: expected 32 octets") != std::string::npos);
}
