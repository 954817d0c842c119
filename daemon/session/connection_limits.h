// How many connections there are, in total, from each address and from each network, for the whole process.
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
  std::size_t connections_per_network = 500;  ///< network_of() says what a network is
};

/// The network that an address is counted under: its /24, or for IPv6 its /64, which one host may have for itself.
IpAddress network_of(const IpAddress& address);

/// Shared by all workers. Its memory grows with the connections that exist, not with the addresses ever seen.
class ConnectionTable {
 public:
  enum class Verdict { Admitted, TooMany, TooManyFromAddress, TooManyFromNetwork };

  /// A connection that was Admitted must be given to leave() when it ends.
  Verdict enter(const IpAddress& from, const ConnectionLimits& limits);
  void leave(const IpAddress& from);

  std::size_t total() const { return total_.load(std::memory_order_relaxed); }

 private:
  class Counts {
   public:
    /// False when there are `max` already.
    bool enter(const IpAddress& key, std::size_t max);
    void leave(const IpAddress& key);

   private:
    static constexpr std::size_t shard_count = 64;  // so that workers rarely wait for each other
    struct Shard {
      std::mutex mutex;
      std::unordered_map<IpAddress, std::size_t> by_key;
    };
    Shard& shard(const IpAddress& key) { return shards_[std::hash<IpAddress>()(key) % shard_count]; }

    std::array<Shard, shard_count> shards_;
  };

  std::atomic<std::size_t> total_{0};
  Counts by_address_;
  Counts by_network_;
};

}  // namespace postern::session
