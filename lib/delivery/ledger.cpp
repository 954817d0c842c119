#include "delivery/ledger.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace postern::delivery {

bool Separation::admit(Lane lane) {
  if (lane_ && (*lane_ != lane || lane == Lane::Alone)) return false;
  lane_ = lane;
  return true;
}

// The digest is keyed: nobody can choose where an entry falls.
std::size_t LedgerIndex::Hash::operator()(const EnvelopeKey& key) const {
  std::size_t hash;
  static_assert(sizeof hash <= sizeof key.digest);
  std::memcpy(&hash, key.digest.data(), sizeof hash);
  return hash;
}

void LedgerIndex::put(Item item) {
  erase(item.entry.envelope, item.entry.message);
  by_expiry_.emplace(item.expires, item.entry.envelope, item.entry.message);
  by_envelope_[item.entry.envelope].push_back(std::move(item));
}

bool LedgerIndex::erase(const EnvelopeKey& envelope, const MessageKey& message) {
  const auto found = by_envelope_.find(envelope);
  if (found == by_envelope_.end()) return false;
  auto& items = found->second;
  const auto item =
      std::find_if(items.begin(), items.end(), [&](const Item& each) { return each.entry.message == message; });
  if (item == items.end()) return false;
  by_expiry_.erase({item->expires, envelope, message});
  items.erase(item);
  if (items.empty()) by_envelope_.erase(found);
  return true;
}

Lane LedgerIndex::lane(const EnvelopeKey& envelope) const {
  const auto found = by_envelope_.find(envelope);
  if (found == by_envelope_.end()) return Lane::Open;
  const auto& items = found->second;
  const auto refused =
      std::count_if(items.begin(), items.end(), [](const Item& item) { return item.entry.refusal.has_value(); });
  if (refused == 0) return Lane::Open;
  return static_cast<std::size_t>(refused) == items.size() ? Lane::Refused : Lane::Alone;
}

const LedgerEntry* LedgerIndex::find(const EnvelopeKey& envelope, const MessageKey& message) const {
  const auto found = by_envelope_.find(envelope);
  if (found == by_envelope_.end()) return nullptr;
  const auto& items = found->second;
  const auto item =
      std::find_if(items.begin(), items.end(), [&](const Item& each) { return each.entry.message == message; });
  return item == items.end() ? nullptr : &item->entry;
}

void LedgerIndex::drop_first() {
  const auto [expires, envelope, message] = *by_expiry_.begin();
  erase(envelope, message);
}

std::size_t LedgerIndex::expire(WallTime now) {
  std::size_t count = 0;
  for (; !by_expiry_.empty() && std::get<WallTime>(*by_expiry_.begin()) <= now; ++count) drop_first();
  return count;
}

std::size_t LedgerIndex::shrink(std::size_t entries_max) {
  std::size_t count = 0;
  for (; size() > entries_max; ++count) drop_first();
  return count;
}

void LedgerIndex::for_each(const std::function<void(const Item&)>& visit) const {
  for (const auto& [envelope, items] : by_envelope_) {
    for (const Item& item : items) visit(item);
  }
}

}  // namespace postern::delivery
