// How many connections there are, in total and from each address, for the whole process.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "base/address.h"

namespace postern::session {

struct ConnectionLimits {
  std::size_t connections = 20000;
  std::size_t connections_per_address = 50;
};

/// Shared by all workers. Its memory grows with the connections that exist, not with the addresses ever seen.
class ConnectionTable {
 public:
  enum class Verdict { Admitted, TooMany, TooManyFromAddress };

  /// A connection that was Admitted must be given to leave() when it ends.
  Verdict enter(const IpAddress& from, const ConnectionLimits& limits);
  void leave(const IpAddress& from);

  std::size_t total() const { return total_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t shard_count = 64;  // so that workers rarely wait for each other
  struct Shard {
    std::mutex mutex;
    std::unordered_map<IpAddress, std::size_t> by_address;
  };
  Shard& shard(const IpAddress& address);

  std::array<Shard, shard_count> shards_;
  std::atomic<std::size_t> total_{0};
};

}  // namespace postern::session
