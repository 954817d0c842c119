#include "certs/credential_cache.h"

#include <utility>

namespace postern::certs {

CredentialCache::CredentialPtr CredentialCache::find_locked(const CredentialPtr& listed) noexcept {
  const auto found = index_.find(listed.get());
  if (found == index_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->whole;
}

CredentialCache::CredentialPtr CredentialCache::find(const CredentialPtr& listed) noexcept {
  const std::lock_guard lock(mutex_);
  return find_locked(listed);
}

CredentialCache::Fetched CredentialCache::fetch(const CredentialPtr& listed) {
  if (auto known = find(listed)) return {std::move(known), std::nullopt};
  auto read = listed->deferred->read(*listed);
  if (!read) {
    Fault fault{Fault::Severity::Error, listed->source, read.error().text + "; the default is served instead"};
    return {std::move(read), note_failure(listed, std::move(fault))};
  }
  take(listed, *read);
  return {std::move(read), std::nullopt};
}

void CredentialCache::take(const CredentialPtr& listed, CredentialPtr whole) {
  Entries dropped;  // freed without the lock
  const std::lock_guard lock(mutex_);
  failures_.erase(listed.get());
  if (index_.contains(listed.get())) return;
  entries_.push_front({listed, std::move(whole)});
  index_[listed.get()] = entries_.begin();
  drop_surplus(dropped);
}

void CredentialCache::drop_surplus(Entries& dropped) {
  while (entries_.size() > capacity_) {
    index_.erase(entries_.back().listed.get());
    dropped.splice(dropped.begin(), entries_, std::prev(entries_.end()));
  }
}

std::optional<Fault> CredentialCache::note_failure(const CredentialPtr& listed, Fault fault) {
  const std::lock_guard lock(mutex_);
  std::erase_if(failures_, [](const auto& failure) { return failure.second.listed.expired(); });
  const auto [at, is_new] = failures_.try_emplace(listed.get(), Failure{listed, fault});
  if (!is_new && at->second.fault == fault) return std::nullopt;
  at->second.fault = fault;
  return fault;
}

std::vector<Fault> CredentialCache::faults() const {
  std::vector<Fault> faults;
  const std::lock_guard lock(mutex_);
  for (const auto& [address, failure] : failures_) {
    if (!failure.listed.expired()) faults.push_back(failure.fault);
  }
  return faults;
}

void CredentialCache::set_capacity(std::size_t capacity) {
  Entries dropped;
  const std::lock_guard lock(mutex_);
  capacity_ = capacity;
  drop_surplus(dropped);
}

std::size_t CredentialCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace postern::certs
