// Who looks for addresses that exist by naming many that do not: unknown recipients by client address and network, over
// all sessions of the process.
#pragma once

#include <array>
#include <cstddef>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/address.h"
#include "base/instant.h"
#include "delivery/settings.h"

namespace postern::session {

/// Shared by all workers. A client has a budget that each unknown recipient uses and that comes back evenly: the whole
/// of it in one window. Its memory is bounded: of too many clients, those who were quiet for longest are forgotten.
class HarvestTable {
 public:
  explicit HarvestTable(std::size_t clients_max = 65'536);

  enum class Verdict { Within, AddressOver, NetworkOver };

  /// Whether the client has used up its budget.
  Verdict look(const IpAddress& client, const delivery::HarvestSettings& settings, Instant now);

  /// The client has named a recipient that does not exist.
  void count(const IpAddress& client, const delivery::HarvestSettings& settings, Instant now);

 private:
  struct Use {
    IpAddress key;
    double unknown = 0;  // as of `at`
    Instant at{};
  };
  class Uses {
   public:
    explicit Uses(std::size_t keys_max);
    bool over(const IpAddress& key, std::size_t max, Duration window, Instant now);
    void count(const IpAddress& key, std::size_t max, Duration window, Instant now);

   private:
    static constexpr std::size_t shard_count = 64;  // so that workers rarely wait for each other
    struct Shard {
      std::mutex mutex;
      std::list<Use> by_age;  // quiet for longest first
      std::unordered_map<IpAddress, std::list<Use>::iterator> by_key;
    };
    Shard& shard(const IpAddress& key) { return shards_[std::hash<IpAddress>()(key) % shard_count]; }

    std::size_t keys_a_shard_;
    std::array<Shard, shard_count> shards_;
  };

  Uses by_address_;
  Uses by_network_;
};

}  // namespace postern::session
