#include "delivery/recipient_cache.h"

namespace postern::delivery {

bool is_unknown_recipient(const smtp::Reply& reply) {
  return reply.permanent() && reply.enhanced.starts_with("5.1.");
}

RecipientCache::RecipientCache(RecipientCheckSettings settings) : settings_(settings) {}

void RecipientCache::configure(const RecipientCheckSettings& settings) {
  settings_ = settings;
  while (by_age_.size() > settings_.entries_max) forget_oldest();
}

/// How long an answer may be remembered; nothing: not at all. A full mailbox or a busy backend may be another in a
/// second, and a refusal of other kinds than 5.1.x may be about the sender.
std::optional<Duration> RecipientCache::lifetime(const smtp::Reply& reply) const {
  if (reply.positive()) return settings_.accepted_for;
  if (is_unknown_recipient(reply)) return settings_.unknown_for;
  return std::nullopt;
}

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
  if (!kept_for || *kept_for == Duration::zero() || settings_.entries_max == 0) return;
  if (by_age_.size() >= settings_.entries_max) forget_oldest();
  by_age_.push_back({key, reply, now + *kept_for});
  by_key_.emplace(key, std::prev(by_age_.end()));
}

void RecipientCache::forget_oldest() {
  by_key_.erase(by_age_.front().key);
  by_age_.pop_front();
}

void RecipientCache::clear() {
  by_key_.clear();
  by_age_.clear();
}

std::size_t RecipientCache::size() const { return by_age_.size(); }

}  // namespace postern::delivery
