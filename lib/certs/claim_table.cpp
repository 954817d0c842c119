#include "certs/claim_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace postern::certs {

ClaimTable::ClaimTable(std::uint64_t first_version)
    : names_(std::make_shared<NameIndex>()), version_(first_version - 1), current_(empty_snapshot()) {}

ClaimTable::ClaimTable(const ClaimTable& other)
    : names_(other.names_->copy()),
      heads_(other.heads_),
      links_(other.links_),
      free_link_(other.free_link_),
      holders_(other.holders_),
      dirty_(other.dirty_),
      is_dirty_(other.is_dirty_),
      conflicts_(other.conflicts_),
      conflicts_of_(other.conflicts_of_),
      entries_(other.entries_),
      counts_(other.counts_),
      version_(other.version_),
      made_one_(other.made_one_),
      current_(other.current_) {}

NameIndex::Id ClaimTable::intern(std::string_view key) {
  if (const auto hit = names_->find(key)) return hit->id;
  if (names_->full()) names_ = names_->grown();  // snapshots keep the one that they were made with
  const auto id = names_->intern(key);
  heads_.push_back(none);
  is_dirty_.push_back(false);
  return id;
}

void ClaimTable::mark(NameIndex::Id id) {
  if (is_dirty_[id]) return;
  is_dirty_[id] = true;
  dirty_.push_back(id);
}

/// Gives back the names that the holder served, sorted.
std::vector<NameIndex::Id> ClaimTable::drop_claims(Record& record, HolderId id) {
  std::vector<NameIndex::Id> served;
  for (const auto name : record.names) {
    bool serving = false;
    for (std::uint32_t* link = &heads_[name]; *link != none;) {
      const std::uint32_t at = *link;
      if (links_[at].holder != id) {
        link = &links_[at].next;
        continue;
      }
      serving = serving || links_[at].serving;
      *link = links_[at].next;
      links_[at].next = free_link_;
      free_link_ = at;
    }
    if (serving) served.push_back(name);
    mark(name);
  }
  record.names.clear();
  counts_.certificates -= record.holder.credentials.size();
  return served;
}

void ClaimTable::set(HolderId id, Holder holder, const std::vector<Claim>& claims) {
  Record& record = holders_[id];
  const auto served = drop_claims(record, id);
  if (holder.credentials != record.holder.credentials) record.trusted.clear();
  record.holder = std::move(holder);
  counts_.certificates += record.holder.credentials.size();
  for (const auto& claim : claims) {
    std::uint32_t at = free_link_;
    if (at == none) {
      at = static_cast<std::uint32_t>(links_.size());
      links_.emplace_back();
    } else {
      free_link_ = links_[at].next;
    }
    const bool serving = std::binary_search(served.begin(), served.end(), claim.name);
    links_[at] = {id, heads_[claim.name], claim.credential, claim.basis, serving};
    heads_[claim.name] = at;
    record.names.push_back(claim.name);
    mark(claim.name);
  }
  std::sort(record.names.begin(), record.names.end());
  record.names.erase(std::unique(record.names.begin(), record.names.end()), record.names.end());
  record.names.shrink_to_fit();
}

void ClaimTable::remove(HolderId id) {
  const auto found = holders_.find(id);
  if (found == holders_.end()) return;
  drop_claims(found->second, id);
  holders_.erase(found);
}

void ClaimTable::touch(HolderId id) {
  if (const auto found = holders_.find(id); found != holders_.end()) {
    for (const auto name : found->second.names) mark(name);
  }
}

void ClaimTable::forget_trust() {
  for (auto& [id, record] : holders_) {
    record.trusted.clear();
    for (const auto name : record.names) mark(name);
  }
}

bool ClaimTable::is_trusted(Record& record, std::uint8_t credential, const Vouch& vouch) {
  record.trusted.resize(record.holder.credentials.size());
  auto& known = record.trusted[credential];
  if (!known) known = vouch(*record.holder.credentials[credential]);
  return *known;
}

void ClaimTable::decide_name(NameIndex::Id id, WallTime now, const Vouch& vouch, Slots<Entry>::Editor& editor,
                             Resolution& resolution) {
  candidates_.clear();
  candidate_links_.clear();
  for (std::uint32_t at = heads_[id]; at != none; at = links_[at].next) {
    const Link& link = links_[at];
    const Holder& holder = holders_.at(link.holder).holder;
    candidates_.push_back({holder.credentials[link.credential].get(), link.holder, holder.strength, holder.order,
                           link.basis, holder.lineage, link.serving});
    candidate_links_.push_back(at);
  }
  Trusted trusted;
  if (vouch) {
    trusted = [&](std::size_t candidate) {
      const Link& link = links_[candidate_links_[candidate]];
      return is_trusted(holders_.at(link.holder), link.credential, vouch);
    };
  }
  const Verdict verdict = decide(candidates_, now, trusted);
  const auto credential = [&](const std::optional<std::size_t>& chosen) -> std::shared_ptr<const tls::Credential> {
    if (!chosen) return nullptr;
    const Link& link = links_[candidate_links_[*chosen]];
    return holders_.at(link.holder).holder.credentials[link.credential];
  };
  Entry after{.ecdsa = credential(verdict.ecdsa), .rsa = credential(verdict.rsa)};
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    links_[candidate_links_[i]].serving = verdict.ecdsa == i || verdict.rsa == i;
  }
  note_conflicts(id, verdict);
  const Entry* before = entries_.find(id);
  if (before != nullptr ? *before == after : after.empty()) return;
  const auto name = names_->key(id);
  const bool was_there = before != nullptr && !before->empty();
  if (was_there != !after.empty()) counts_.add_name(name, was_there ? -1 : 1);
  note_change(name, before != nullptr ? *before : Entry(), after, resolution.changes);
  editor.resize_up(id + std::size_t{1});
  editor.at(id) = std::move(after);
}

void ClaimTable::note_conflicts(NameIndex::Id id, const Verdict& verdict) {
  std::vector<Conflict> now;
  const auto add = [&](std::size_t loser, const std::optional<std::size_t>& winner, ConflictKind kind) {
    const Conflict conflict{candidates_[loser].holder, candidates_[*winner].holder, kind};
    if (std::find(now.begin(), now.end(), conflict) == now.end()) now.push_back(conflict);
  };
  for (const auto loser : verdict.held_back) add(loser, verdict.primary, ConflictKind::HeldBack);
  for (const auto loser : verdict.duplicates) {
    add(loser, is_rsa(*candidates_[loser].credential) ? verdict.rsa : verdict.ecdsa, ConflictKind::Duplicate);
  }
  const auto known = conflicts_of_.find(id);
  if (known == conflicts_of_.end() && now.empty()) return;
  const auto before = known == conflicts_of_.end() ? std::vector<Conflict>() : known->second;
  for (const auto& conflict : before) {
    if (std::find(now.begin(), now.end(), conflict) != now.end()) continue;
    const auto found = conflicts_.find(conflict);
    found->second.erase(id);
    if (found->second.empty()) conflicts_.erase(found);
  }
  for (const auto& conflict : now) {
    if (conflicts_[conflict].insert(id).second) fresh_conflicts_.insert(conflict);
  }
  if (now.empty()) {
    conflicts_of_.erase(id);
  } else {
    conflicts_of_[id] = std::move(now);
  }
}

Fault ClaimTable::conflict_fault(const Conflict& conflict, const std::set<NameIndex::Id>& names) const {
  constexpr std::size_t names_told = 5;
  std::string list;
  std::size_t told = 0;
  for (const auto name : names) {
    if (told++ == names_told) break;
    list += fmt::format("{}{}", list.empty() ? "" : ", ", names_->key(name));
  }
  if (names.size() > names_told) list += fmt::format(" and {} more", names.size() - names_told);
  const auto& loser = holders_.at(conflict.loser).holder.label;
  const auto& winner = holders_.at(conflict.winner).holder.label;
  const char* text = conflict.kind == ConflictKind::HeldBack
                         ? "has {} among its names too, held back because {} serves this already; a [[certificate]], a "
                           "map or a file named after the host name can change that"
                         : "is declared for {} too, but {} is the one that is served";
  return {Fault::Severity::Warning, loser, fmt::format(fmt::runtime(text), list, winner)};
}

ClaimTable::Resolution ClaimTable::resolve(WallTime now, std::shared_ptr<const Snapshot::Index::Ids> ids,
                                           const Vouch& vouch) {
  Resolution resolution;
  fresh_conflicts_.clear();
  const auto before_ids = current_->index().ids;
  const std::uint64_t edition = version_ + 1;
  Slots<Entry>::Editor editor(entries_, edition);
  bool changed = ids != before_ids;
  for (const auto id : dirty_) {
    is_dirty_[id] = false;
    decide_name(id, now, vouch, editor, resolution);
  }
  changed = changed || editor.edited();
  dirty_.clear();
  dirty_.shrink_to_fit();
  for (const auto& conflict : fresh_conflicts_) {
    if (const auto found = conflicts_.find(conflict); found != conflicts_.end()) {
      resolution.new_conflicts.push_back(conflict_fault(conflict, found->second));
    }
  }
  if (changed || !made_one_) {
    made_one_ = true;
    version_ = edition;
    auto index = std::make_unique<Snapshot::Index>();
    index->names = names_;
    index->entries = entries_;
    index->ids = std::move(ids);
    index->version = version_;
    index->counts = counts_;
    current_ = std::make_shared<const Snapshot>(std::move(index));
  }
  resolution.snapshot = current_;
  return resolution;
}

std::vector<Fault> ClaimTable::conflicts() const {
  std::vector<Fault> faults;
  for (const auto& [conflict, names] : conflicts_) faults.push_back(conflict_fault(conflict, names));
  return faults;
}

std::vector<ClaimTable::Contender> ClaimTable::contenders(std::string_view key) const {
  std::vector<Contender> found;
  const auto hit = names_->find(key);
  if (!hit) return found;
  const auto conflicts = conflicts_of_.find(hit->id);
  for (std::uint32_t at = heads_[hit->id]; at != none; at = links_[at].next) {
    const Link& link = links_[at];
    const bool held_back = conflicts != conflicts_of_.end() && !link.serving &&
                           std::any_of(conflicts->second.begin(), conflicts->second.end(), [&](const Conflict& conflict) {
                             return conflict.loser == link.holder && conflict.kind == ConflictKind::HeldBack;
                           });
    const Record& record = holders_.at(link.holder);
    found.push_back({record.holder.credentials[link.credential].get(), link.basis, record.holder.strength, link.serving,
                     held_back, record.trusted.empty() ? std::nullopt : record.trusted[link.credential]});
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.serving > b.serving; });
  return found;
}

void ClaimTable::each_claim(HolderId id,
                            const std::function<void(std::string_view key, const Claim& claim)>& visit) const {
  const auto found = holders_.find(id);
  if (found == holders_.end()) return;
  for (const auto name : found->second.names) {
    for (std::uint32_t at = heads_[name]; at != none; at = links_[at].next) {
      if (links_[at].holder == id) visit(names_->key(name), {name, links_[at].basis, links_[at].credential});
    }
  }
}

std::size_t ClaimTable::claimed(HolderId id) const {
  const auto found = holders_.find(id);
  return found == holders_.end() ? 0 : found->second.names.size();
}

std::size_t ClaimTable::served(HolderId id) const {
  const auto found = holders_.find(id);
  if (found == holders_.end()) return 0;
  return static_cast<std::size_t>(
      std::count_if(found->second.names.begin(), found->second.names.end(), [&](NameIndex::Id name) {
        for (std::uint32_t at = heads_[name]; at != none; at = links_[at].next) {
          if (links_[at].holder == id && links_[at].serving) return true;
        }
        return false;
      }));
}

std::size_t ClaimTable::memory() const {
  std::size_t octets = names_->memory() + heads_.capacity() * sizeof heads_[0] + links_.capacity() * sizeof links_[0];
  for (const auto& [id, record] : holders_) octets += record.names.capacity() * sizeof(NameIndex::Id);
  return octets;
}

}  // namespace postern::certs
