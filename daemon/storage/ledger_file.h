// The ledger's entries on disk: `ledger.sqlite`, one table. A file that is damaged, or of a schema that we do not know,
// is set aside under another name, for whoever wants to look at it, and an empty one takes its place.
#pragma once

#include <string>
#include <vector>

#include "base/instant.h"
#include "daemon/storage/database.h"
#include "delivery/ledger.h"

namespace postern::storage {

class LedgerFile {
 public:
  using Items = std::vector<delivery::LedgerIndex::Item>;

  struct Opened;
  /// Opens or makes `path`, and reads what is in it. `now` names what is set aside.
  static Result<Opened> open(const std::string& path, WallTime now);

  struct Changes {
    Items put;
    std::vector<delivery::LedgerEntry> erased;
  };
  /// All of it or nothing; on disk when it returns. Also drops what has expired, and what is next to expire until
  /// `entries_max` are left.
  DatabaseResult<void> apply(const Changes& changes, WallTime now, std::size_t entries_max);
  /// The entries become exactly these.
  DatabaseResult<void> replace(const Items& items);

 private:
  explicit LedgerFile(Database database) : database_(std::move(database)) {}
  static DatabaseResult<Opened> open_sound(const std::string& path);
  DatabaseResult<void> put(const Items& items);
  DatabaseResult<void> erase(const std::vector<delivery::LedgerEntry>& entries);
  DatabaseResult<void> trim(WallTime now, std::size_t entries_max);
  DatabaseResult<Items> load();
  DatabaseResult<void> committed(DatabaseResult<void> result);

  Database database_;
};

struct LedgerFile::Opened {
  LedgerFile file;
  Items items;
  std::string set_aside;  ///< a sentence for the log when the file that was there could not be used
};

}  // namespace postern::storage
