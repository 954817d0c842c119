#include "daemon/session/harvest_table.h"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "daemon/session/connection_limits.h"

namespace postern::session {

namespace {

using Seconds = std::chrono::duration<double>;

/// What is left at `now` of a use at `then`.
double left_of(double unknown, Instant then, std::size_t max, Duration window, Instant now) {
  const double come_back = Seconds(now - then) / Seconds(window) * static_cast<double>(max);
  return std::max(0.0, unknown - come_back);
}

}  // namespace

HarvestTable::Uses::Uses(std::size_t keys_max) : keys_a_shard_(std::max<std::size_t>(1, keys_max / shard_count)) {}

bool HarvestTable::Uses::over(const IpAddress& key, std::size_t max, Duration window, Instant now) {
  if (max == 0) return false;
  Shard& part = shard(key);
  const std::lock_guard lock(part.mutex);
  const auto found = part.by_key.find(key);
  if (found == part.by_key.end()) return false;
  // One more has to have room.
  return left_of(found->second->unknown, found->second->at, max, window, now) > static_cast<double>(max) - 1;
}

void HarvestTable::Uses::count(const IpAddress& key, std::size_t max, Duration window, Instant now) {
  if (max == 0) return;
  Shard& part = shard(key);
  const std::lock_guard lock(part.mutex);
  auto found = part.by_key.find(key);
  if (found == part.by_key.end()) {
    if (part.by_age.size() == keys_a_shard_) {
      part.by_key.erase(part.by_age.front().key);
      part.by_age.pop_front();
    }
    part.by_age.push_back({key, 0, now});
    found = part.by_key.emplace(key, std::prev(part.by_age.end())).first;
  }
  Use& use = *found->second;
  use.unknown = std::min(static_cast<double>(max), left_of(use.unknown, use.at, max, window, now) + 1);
  use.at = now;
  part.by_age.splice(part.by_age.end(), part.by_age, found->second);
}

HarvestTable::HarvestTable(std::size_t clients_max) : by_address_(clients_max), by_network_(clients_max) {}

HarvestTable::Verdict HarvestTable::look(const IpAddress& client, const delivery::HarvestSettings& settings,
                                         Instant now) {
  if (any_contains(settings.exempt, client)) return Verdict::Within;
  if (by_address_.over(client, settings.unknown_per_address, settings.window, now)) return Verdict::AddressOver;
  if (by_network_.over(network_of(client), settings.unknown_per_network, settings.window, now)) {
    return Verdict::NetworkOver;
  }
  return Verdict::Within;
}

void HarvestTable::count(const IpAddress& client, const delivery::HarvestSettings& settings, Instant now) {
  if (any_contains(settings.exempt, client)) return;
  by_address_.count(client, settings.unknown_per_address, settings.window, now);
  by_network_.count(network_of(client), settings.unknown_per_network, settings.window, now);
}

}  // namespace postern::session
