#include "daemon/session/connection_limits.h"

namespace postern::session {

ConnectionTable::Shard& ConnectionTable::shard(const IpAddress& address) {
  return shards_[std::hash<IpAddress>()(address) % shard_count];
}

ConnectionTable::Verdict ConnectionTable::enter(const IpAddress& from, const ConnectionLimits& limits) {
  if (total_.fetch_add(1, std::memory_order_relaxed) >= limits.connections) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::TooMany;
  }
  Shard& part = shard(from);
  const std::lock_guard lock(part.mutex);
  std::size_t& count = part.by_address[from];
  if (count >= limits.connections_per_address) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    if (count == 0) part.by_address.erase(from);
    return Verdict::TooManyFromAddress;
  }
  ++count;
  return Verdict::Admitted;
}

void ConnectionTable::leave(const IpAddress& from) {
  Shard& part = shard(from);
  {
    const std::lock_guard lock(part.mutex);
    const auto found = part.by_address.find(from);
    if (found != part.by_address.end() && --found->second == 0) part.by_address.erase(found);
  }
  total_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace postern::session
