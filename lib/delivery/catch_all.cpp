#include "delivery/catch_all.h"

#include <iterator>

#include "delivery/recipient_cache.h"

namespace postern::delivery {

CatchAllDomains::CatchAllDomains(RecipientCheckSettings settings, std::size_t domains_max)
    : settings_(settings), domains_max_(domains_max) {}

CatchAllDomains::Domain* CatchAllDomains::find(const std::string& key, Instant now) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  Domain& domain = *found->second;
  const bool decided = domain.kind == Kind::Ordinary || domain.kind == Kind::TakesEverything;
  if (decided && domain.until <= now) {
    domain.kind = Kind::Counting;
    domain.taken = 0;
  }
  return &domain;
}

bool CatchAllDomains::takes_everything(const std::string& key, Instant now) {
  if (settings_.catch_all_for == Duration::zero()) return false;
  const Domain* domain = find(key, now);
  return domain != nullptr && domain->kind == Kind::TakesEverything;
}

bool CatchAllDomains::wants_probe(const std::string& key, Instant now) {
  if (settings_.catch_all_for == Duration::zero()) return false;
  Domain* domain = find(key, now);
  if (domain == nullptr) {
    if (by_age_.size() == domains_max_) {
      by_key_.erase(by_age_.front().key);
      by_age_.pop_front();
    }
    domain = &by_age_.emplace_back();
    domain->key = key;
    by_key_.emplace(key, std::prev(by_age_.end()));
  }
  if (domain->kind != Kind::Counting || ++domain->taken < settings_.catch_all_after) return false;
  domain->kind = Kind::Probing;
  return true;
}

bool CatchAllDomains::probed(const std::string& key, const smtp::Reply& reply, Instant now) {
  Domain* domain = find(key, now);
  if (domain == nullptr || domain->kind != Kind::Probing) return false;
  domain->until = now + settings_.catch_all_for;
  if (reply.positive()) {
    domain->kind = Kind::TakesEverything;
    return true;
  }
  if (is_unknown_recipient(reply)) {
    domain->kind = Kind::Ordinary;
  } else {  // says nothing of the domain: to be tried again after as many answers
    domain->kind = Kind::Counting;
    domain->taken = 0;
  }
  return false;
}

void CatchAllDomains::clear() {
  by_key_.clear();
  by_age_.clear();
}

}  // namespace postern::delivery
