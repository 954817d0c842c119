// A message on its way through: in memory up to `spill_at`, then in an unlinked temporary file. It is written once and
// may be read by several hand-offs at the same time. The file is touched by the spill pool only, never by the loop.
// What all messages hold together is bounded by the budgets: one that finds no room fails, and only that one.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "daemon/session/body_source.h"
#include "daemon/session/budget.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/work_pool.h"

namespace postern::session {

class Message : public std::enable_shared_from_this<Message> {
 public:
  struct Options {
    std::size_t spill_at = 1024 * 1024;
    std::string spill_dir;  ///< where the temporary file is made
    std::uint64_t memory_max = std::numeric_limits<std::uint64_t>::max();  ///< octets, of all messages together
    std::uint64_t spill_max = std::numeric_limits<std::uint64_t>::max();   ///< likewise, in files
  };

  /// Whether there is memory for one more message, if it is small or goes to a file soon.
  static bool room_for_one(const MessageBudgets& budgets, std::uint64_t memory_max);

  /// Loop, pool and budgets must outlive the message.
  static std::shared_ptr<Message> make(uv::Loop& loop, uv::WorkPool& spill_pool, MessageBudgets& budgets, Options options);
  ~Message();
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  void append(std::string_view bytes);

  /// True while so much waits for the disk that the client should not be read.
  bool congested() const;
  /// Called whenever congested() becomes false again, or the disk has failed.
  void on_relief(std::function<void()> callback) { on_relief_ = std::move(callback); }

  /// Nothing more comes. `done` is called, from within the call or later, when all has been written: with an error
  /// when the disk has failed or a budget was used up, which makes the message unusable.
  void finish(std::function<void(Result<void>)> done);

  std::uint64_t octets() const { return octets_; }

  /// After finish() has succeeded.
  std::unique_ptr<BodySource> reader();

 private:
  class Reader;
  struct SpillFile;

  Message(uv::Loop& loop, uv::WorkPool& spill_pool, MessageBudgets& budgets, Options options);
  std::size_t memory_room() const;
  std::uint64_t in_memory() const { return memory_.size() + waiting_.size() + writing_; }
  void write_waiting();
  void written(const Result<void>& result);
  void give_up(Error why);

  uv::Loop& loop_;
  uv::WorkPool& spill_pool_;
  Options options_;
  BudgetShare memory_share_;
  BudgetShare spill_share_;
  std::uint64_t octets_ = 0;
  std::string memory_;                 // the first part
  std::string waiting_;                // for the file; not yet being written
  std::shared_ptr<SpillFile> file_;    // once the message has grown past spill_at
  std::size_t writing_ = 0;            // octets that the pool is writing now
  std::uint64_t in_file_ = 0;          // octets that are in the file
  std::optional<Error> failure_;
  std::function<void()> on_relief_;
  std::function<void(Result<void>)> on_finished_;
};

}  // namespace postern::session
