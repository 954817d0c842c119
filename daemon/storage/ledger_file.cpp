#include "daemon/storage/ledger_file.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace postern::storage {

namespace {

constexpr std::int64_t schema_version = 1;
constexpr const char* schema =
    "BEGIN;"
    "CREATE TABLE entry (envelope BLOB NOT NULL, message BLOB NOT NULL, expires INTEGER NOT NULL,"
    "  code INTEGER, enhanced TEXT, text TEXT,"  // of a refusal; NULL: served
    "  PRIMARY KEY (envelope, message)) WITHOUT ROWID;"
    "CREATE INDEX by_expiry ON entry (expires, envelope, message);"
    "PRAGMA user_version = 1;"
    "COMMIT;";

std::int64_t seconds_of(WallTime time) { return time.time_since_epoch().count(); }

/// False when the octets are none.
bool read_digest(std::span<const std::uint8_t> octets, delivery::LedgerDigest& into) {
  if (octets.size() != into.size()) return false;
  std::copy(octets.begin(), octets.end(), into.begin());
  return true;
}

std::optional<delivery::LedgerIndex::Item> read_item(const Database::Statement& row) {
  delivery::LedgerIndex::Item item;
  if (!read_digest(row.octets(0), item.entry.envelope.digest)) return std::nullopt;
  if (!read_digest(row.octets(1), item.entry.message.digest)) return std::nullopt;
  item.expires = WallTime(std::chrono::seconds(row.integer(2).value_or(0)));
  if (const auto code = row.integer(3)) {
    item.entry.refusal = smtp::Reply{static_cast<int>(*code), std::string(row.text(4)), std::string(row.text(5))};
    if (!item.entry.refusal->permanent()) return std::nullopt;
  }
  return item;
}

}  // namespace

DatabaseResult<LedgerFile::Opened> LedgerFile::open_sound(const std::string& path) {
  auto database = Database::open(path);
  if (!database) return tl::unexpected(database.error());
  const auto version = database->integer("PRAGMA user_version");
  if (!version) return tl::unexpected(version.error());
  const auto tables = database->integer("SELECT count(*) FROM sqlite_schema");
  if (!tables) return tl::unexpected(tables.error());
  if (*version == 0 && *tables == 0) {
    if (auto made = database->run(schema); !made) return tl::unexpected(made.error());
  } else if (*version != schema_version) {
    return tl::unexpected(DatabaseError{
        fmt::format("{}: has schema version {}, and this posternd knows version {}", path, *version, schema_version),
        true});
  }
  LedgerFile file(std::move(*database));
  auto items = file.load();
  if (!items) return tl::unexpected(items.error());
  return Opened{std::move(file), std::move(*items), {}};
}

Result<LedgerFile::Opened> LedgerFile::open(const std::string& path, WallTime now) {
  auto opened = open_sound(path);
  if (opened) return std::move(*opened);
  if (!opened.error().corrupt) return fail_with({opened.error().text});
  const std::string aside = fmt::format("{}.broken-{}", path, seconds_of(now));
  if (std::rename(path.c_str(), aside.c_str()) != 0) {
    return fail("{}; it cannot be set aside either: {}", opened.error().text, std::strerror(errno));
  }
  // The log belongs to the file that is gone.
  std::rename((path + "-wal").c_str(), (aside + "-wal").c_str());
  auto fresh = open_sound(path);
  if (!fresh) return fail_with({fresh.error().text});
  fresh->set_aside = fmt::format("{}; the file was set aside as {} and a new one begun", opened.error().text, aside);
  return std::move(*fresh);
}

DatabaseResult<LedgerFile::Items> LedgerFile::load() {
  if (const auto sound = database_.integer("SELECT count(*) FROM pragma_quick_check WHERE quick_check <> 'ok'");
      !sound || *sound != 0) {
    return tl::unexpected(sound ? DatabaseError{"ledger.sqlite: its pages contradict each other", true} : sound.error());
  }
  auto rows = database_.prepare("SELECT envelope, message, expires, code, enhanced, text FROM entry");
  if (!rows) return tl::unexpected(rows.error());
  Items items;
  for (;;) {
    const auto more = rows->step();
    if (!more) return tl::unexpected(more.error());
    if (!*more) return items;
    auto item = read_item(*rows);
    if (!item) return tl::unexpected(DatabaseError{"ledger.sqlite: an entry is malformed", true});
    items.push_back(std::move(*item));
  }
}

DatabaseResult<void> LedgerFile::committed(DatabaseResult<void> result) {
  if (result) result = database_.run("COMMIT");
  // After some failures SQLite has rolled back already; then this one fails, which is all right.
  if (!result) (void)database_.run("ROLLBACK");
  return result;
}

DatabaseResult<void> LedgerFile::apply(const Changes& changes, WallTime now, std::size_t entries_max) {
  if (auto begun = database_.run("BEGIN IMMEDIATE"); !begun) return begun;
  auto done = put(changes.put);
  if (done) done = erase(changes.erased);
  if (done) done = trim(now, entries_max);
  return committed(std::move(done));
}

DatabaseResult<void> LedgerFile::replace(const Items& items) {
  if (auto begun = database_.run("BEGIN IMMEDIATE"); !begun) return begun;
  auto done = database_.run("DELETE FROM entry");
  if (done) done = put(items);
  return committed(std::move(done));
}

DatabaseResult<void> LedgerFile::put(const Items& items) {
  auto statement = database_.prepare("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)");
  if (!statement) return tl::unexpected(statement.error());
  for (const auto& item : items) {
    statement->bind(1, item.entry.envelope.digest);
    statement->bind(2, item.entry.message.digest);
    statement->bind(3, seconds_of(item.expires));
    if (const auto& refusal = item.entry.refusal) {
      statement->bind(4, std::int64_t{refusal->code});
      statement->bind(5, refusal->enhanced);
      statement->bind(6, refusal->text);
    } else {
      for (const int parameter : {4, 5, 6}) statement->bind_null(parameter);
    }
    if (const auto done = statement->step(); !done) return tl::unexpected(done.error());
  }
  return {};
}

DatabaseResult<void> LedgerFile::erase(const std::vector<delivery::LedgerEntry>& entries) {
  auto statement = database_.prepare("DELETE FROM entry WHERE envelope = ? AND message = ?");
  if (!statement) return tl::unexpected(statement.error());
  for (const auto& entry : entries) {
    statement->bind(1, entry.envelope.digest);
    statement->bind(2, entry.message.digest);
    if (const auto done = statement->step(); !done) return tl::unexpected(done.error());
  }
  return {};
}

DatabaseResult<void> LedgerFile::trim(WallTime now, std::size_t entries_max) {
  auto expired = database_.prepare("DELETE FROM entry WHERE expires <= ?");
  if (!expired) return tl::unexpected(expired.error());
  expired->bind(1, seconds_of(now));
  if (const auto done = expired->step(); !done) return tl::unexpected(done.error());
  // In the order in which the index drops them.
  auto excess = database_.prepare(
      "DELETE FROM entry WHERE (envelope, message) IN (SELECT envelope, message FROM entry"
      " ORDER BY expires, envelope, message LIMIT max(0, (SELECT count(*) FROM entry) - ?))");
  if (!excess) return tl::unexpected(excess.error());
  excess->bind(1, static_cast<std::int64_t>(entries_max));
  if (const auto done = excess->step(); !done) return tl::unexpected(done.error());
  return {};
}

}  // namespace postern::storage
