// SQLite as values that close themselves and errors that are results. One thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace postern::storage {

struct DatabaseError {
  std::string text;
  bool corrupt = false;  ///< the file is no sound database: trying again cannot help
};

template <class T>
using DatabaseResult = tl::expected<T, DatabaseError>;

class Database {
 public:
  /// Opens or makes the file (0600), for one process alone, with a write-ahead log: what a committed transaction has
  /// written is on the disk when run("COMMIT") has returned.
  static DatabaseResult<Database> open(const std::string& path);

  /// Statements without results.
  DatabaseResult<void> run(const char* sql);

  /// The one integer that a query gives.
  DatabaseResult<std::int64_t> integer(const char* sql);

  class Statement;
  DatabaseResult<Statement> prepare(const char* sql);

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  DatabaseError failure(int code) const;

  std::string path_;
  std::unique_ptr<sqlite3, Close> handle_;
};

class Database::Statement {
 public:
  /// Parameters count from 1. The octets must live until the next step().
  void bind(int parameter, std::span<const std::uint8_t> octets);
  void bind(int parameter, std::string_view text);
  void bind(int parameter, std::int64_t number);
  void bind_null(int parameter);

  /// True when there is a row. After the last one the statement can be used again.
  DatabaseResult<bool> step();

  // Of the row, columns from 0; good until the next step().
  std::span<const std::uint8_t> octets(int column) const;
  std::string_view text(int column) const;
  std::optional<std::int64_t> integer(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const;
  };
  Statement(const Database& database, sqlite3_stmt* handle) : database_(&database), handle_(handle) {}

  const Database* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

}  // namespace postern::storage
