#include "daemon/session/connection_limits.h"

namespace postern::session {

namespace {

constexpr unsigned network_bits_v4 = 24;
constexpr unsigned network_bits_v6 = 64;

}  // namespace

IpAddress network_of(const IpAddress& address) {
  return address.masked(address.is_v4() ? network_bits_v4 : network_bits_v6);
}

bool ConnectionTable::Counts::enter(const IpAddress& key, std::size_t max) {
  Shard& part = shard(key);
  const std::lock_guard lock(part.mutex);
  const auto place = part.by_key.try_emplace(key, 0).first;
  if (place->second < max) {
    ++place->second;
    return true;
  }
  if (place->second == 0) part.by_key.erase(place);
  return false;
}

void ConnectionTable::Counts::leave(const IpAddress& key) {
  Shard& part = shard(key);
  const std::lock_guard lock(part.mutex);
  const auto found = part.by_key.find(key);
  if (found != part.by_key.end() && --found->second == 0) part.by_key.erase(found);
}

ConnectionTable::Verdict ConnectionTable::enter(const IpAddress& from, const ConnectionLimits& limits) {
  if (total_.fetch_add(1, std::memory_order_relaxed) >= limits.connections) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::TooMany;
  }
  if (!by_address_.enter(from, limits.connections_per_address)) {
    total_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::TooManyFromAddress;
  }
  if (!by_network_.enter(network_of(from), limits.connections_per_network)) {
    by_address_.leave(from);
    total_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::TooManyFromNetwork;
  }
  return Verdict::Admitted;
}

void ConnectionTable::leave(const IpAddress& from) {
  by_network_.leave(network_of(from));
  by_address_.leave(from);
  total_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace postern::session
