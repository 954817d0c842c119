#include "delivery/recipient_cache.h"

namespace postern::delivery {

namespace {

/// How long an answer may be remembered; nothing: not at all. A full mailbox or a busy backend may be another in a
/// second, and a refusal of other kinds than 5.1.x (RFC 3463: addressing) may be about the sender.
std::optional<Duration> lifetime(const smtp::Reply& reply) {
  if (reply.positive()) return RecipientCache::accepted_for;
  if (reply.permanent() && reply.enhanced.starts_with("5.1.")) return RecipientCache::unknown_for;
  return std::nullopt;
}

}  // namespace

RecipientCache::RecipientCache(std::size_t entries_max) : entries_max_(entries_max) {}

std::optional<smtp::Reply> RecipientCache::find(const std::string& key, Instant now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  if (found->second->until <= now) {
    by_age_.erase(found->second);
    by_key_.erase(found);
    return std::nullopt;
  }
  return found->second->reply;
}

void RecipientCache::remember(const std::string& key, const smtp::Reply& reply, Instant now) {
  // What was known before is outdated, whatever the new answer is.
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    by_age_.erase(found->second);
    by_key_.erase(found);
  }
  const auto kept_for = lifetime(reply);
  if (!kept_for || entries_max_ == 0) return;
  if (by_age_.size() == entries_max_) {
    by_key_.erase(by_age_.front().key);
    by_age_.pop_front();
  }
  by_age_.push_back({key, reply, now + *kept_for});
  by_key_.emplace(key, std::prev(by_age_.end()));
}

void RecipientCache::clear() {
  by_key_.clear();
  by_age_.clear();
}

std::size_t RecipientCache::size() const { return by_age_.size(); }

}  // namespace postern::delivery
