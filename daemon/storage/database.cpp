#include "daemon/storage/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace postern::storage {

namespace {

bool is_corruption(int code) {
  const int primary = code & 0xff;
  return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
}

}  // namespace

void Database::Close::operator()(sqlite3* handle) const { sqlite3_close(handle); }
void Database::Statement::Finalize::operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }

DatabaseError Database::failure(int code) const {
  return {fmt::format("{}: {}", path_, handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(code)),
          is_corruption(code)};
}

DatabaseResult<Database> Database::open(const std::string& path) {
  // SQLite would make it with the mode of the umask; its log takes the mode of the file.
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return tl::unexpected(DatabaseError{fmt::format("{}: {}", path, std::strerror(errno))});
  ::close(descriptor);

  Database made;
  made.path_ = path;
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  made.handle_.reset(handle);
  if (code != SQLITE_OK) return tl::unexpected(made.failure(code));
  sqlite3_extended_result_codes(handle, 1);
  // Locked by us alone, the log needs no shared memory.
  const auto set = made.run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                            " PRAGMA temp_store = MEMORY;");
  if (!set) return tl::unexpected(set.error());
  return made;
}

DatabaseResult<void> Database::run(const char* sql) {
  const int code = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return tl::unexpected(failure(code));
  return {};
}

DatabaseResult<std::int64_t> Database::integer(const char* sql) {
  auto statement = prepare(sql);
  if (!statement) return tl::unexpected(statement.error());
  const auto row = statement->step();
  if (!row) return tl::unexpected(row.error());
  return *row ? statement->integer(0).value_or(0) : 0;
}

DatabaseResult<Database::Statement> Database::prepare(const char* sql) {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v2(handle_.get(), sql, -1, &handle, nullptr);
  if (code != SQLITE_OK) return tl::unexpected(failure(code));
  return Statement(*this, handle);
}

void Database::Statement::bind(int parameter, std::span<const std::uint8_t> octets) {
  sqlite3_bind_blob64(handle_.get(), parameter, octets.data(), octets.size(), SQLITE_STATIC);
}

void Database::Statement::bind(int parameter, std::string_view text) {
  // A null pointer would bind NULL, and an empty view may have one.
  sqlite3_bind_text64(handle_.get(), parameter, text.empty() ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void Database::Statement::bind(int parameter, std::int64_t number) {
  sqlite3_bind_int64(handle_.get(), parameter, number);
}

void Database::Statement::bind_null(int parameter) { sqlite3_bind_null(handle_.get(), parameter); }

DatabaseResult<bool> Database::Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    auto failure = database_->failure(code);
    sqlite3_reset(handle_.get());
    return tl::unexpected(std::move(failure));
  }
  sqlite3_reset(handle_.get());
  return false;
}

std::span<const std::uint8_t> Database::Statement::octets(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_.get(), column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

std::string_view Database::Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return {data == nullptr ? "" : data, static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column))};
}

std::optional<std::int64_t> Database::Statement::integer(int column) const {
  if (sqlite3_column_type(handle_.get(), column) == SQLITE_NULL) return std::nullopt;
  return sqlite3_column_int64(handle_.get(), column);
}

}  // namespace postern::storage
