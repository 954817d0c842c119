// How many connections to one target the whole process may have, and which worker has them. Workers borrow: whoever
// needs a connection takes a share while there is one; when there is none, the others give up what they do not need,
// and, between two transactions, what they have beyond an equal part. From any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

namespace postern::delivery {

class ConnectionShares : public std::enable_shared_from_this<ConnectionShares> {
 public:
  explicit ConnectionShares(std::size_t connections_max) : connections_max_(connections_max) {}

  /// After a reload. Connections over a lower limit are not taken away, but none is added.
  void limit(std::size_t connections_max);

  /// One worker's part. Used on the worker's thread only.
  class Member {
   public:
    /// `look` is called from other threads, or within calls of other members, and must only post: somebody wants a share
    /// that this member may have to spare (others_want()), or a share that it wanted is free.
    Member(std::shared_ptr<ConnectionShares> shares, std::function<void()> look);
    /// Gives back what it holds.
    ~Member();
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    /// False: there is none, and `look` is called when there may be one.
    bool take();
    void give_back();
    /// Nobody waits here any more.
    void stop_wanting();

    /// Those who wait stand in one line of the process, which has an end: false when `waiting_max` stand there.
    bool enter_line(std::size_t waiting_max);
    void leave_line(std::size_t count);
    bool line_is_full(std::size_t waiting_max) const;

    /// Whether there is no share to take.
    bool all_taken() const;
    /// An idle connection should be closed: there is none to take for somebody who needs one.
    bool others_want() const;
    /// So should one that has just served, although somebody waits for it here.
    bool must_yield() const;

   private:
    friend class ConnectionShares;
    std::shared_ptr<ConnectionShares> shares_;
    std::function<void()> look_;
    std::size_t held_ = 0;           // guarded by shares_->mutex_
    std::uint64_t wants_since_ = 0;  // likewise, but written by its own thread only; a ticket, 0: it wants nothing
    std::size_t in_line_ = 0;
  };

 private:
  Member* first_who_wants() const;
  void wake_who_wants();
  std::size_t equal_part() const { return connections_max_ / members_.size(); }

  mutable std::mutex mutex_;
  std::uint64_t tickets_ = 0;
  std::size_t connections_max_;
  std::size_t taken_ = 0;
  std::list<Member*> members_;
  std::atomic<std::size_t> wanting_{0};
  std::atomic<std::size_t> in_line_{0};
};

}  // namespace postern::delivery
