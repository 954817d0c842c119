#include "certs/snapshot.h"

#include <algorithm>
#include <array>
#include <unordered_set>
#include <utility>

#include "base/text.h"

namespace postern::certs {

Snapshot::Snapshot(std::unique_ptr<const Index> index) : index_(std::move(index)) {}

Snapshot::~Snapshot() = default;

std::uint64_t Snapshot::version() const { return index_->version; }
std::size_t Snapshot::name_count() const { return index_->counts.names; }
std::size_t Snapshot::certificate_count() const { return index_->counts.certificates; }

const Entry* Snapshot::find_key(std::string_view key) const noexcept {
  return entry_of(index_->names->probe(key), tls::Match::Exact).entry;
}

Found Snapshot::entry_of(const NameIndex::Probe& probe, tls::Match match) const noexcept {
  const auto hit = index_->names->find(probe);
  if (!hit) return {};
  const Entry* entry = index_->entries.find(hit->id);  // null for a name that a later generation added
  if (entry == nullptr || entry->empty()) return {};
  return {entry, match, hit->key};
}

Found Snapshot::find_canonical(std::string_view name) const noexcept {
  const NameIndex& names = *index_->names;
  const auto first_dot = name.find('.');
  if (first_dot == std::string_view::npos || name.size() > NameIndex::key_octets_max) {
    return entry_of(names.probe(name), tls::Match::Exact);
  }
  // The probes of all that may have to be asked come first, so that waits for memory are one. Of the parents only the
  // nearest: those further up are few and asked for all the time.
  const bool wildcards = index_->counts.wildcards > 0;
  const bool parents = index_->counts.parents > 0;
  const auto exact_probe = names.probe(name);
  NameIndex::Probe wildcard_probe, parent_probe;
  std::array<char, NameIndex::key_octets_max + 1> wildcard;
  if (wildcards) {
    wildcard[0] = '*';
    const auto rest = name.substr(first_dot);
    std::copy(rest.begin(), rest.end(), wildcard.begin() + 1);
    wildcard_probe = names.probe({wildcard.data(), rest.size() + 1});
  }
  if (parents) parent_probe = names.probe(name.substr(first_dot));

  if (const Found found = entry_of(exact_probe, tls::Match::Exact); found.entry != nullptr) return found;
  if (wildcards) {
    if (const Found found = entry_of(wildcard_probe, tls::Match::Wildcard); found.entry != nullptr) return found;
  }
  if (!parents) return {};
  if (const Found found = entry_of(parent_probe, tls::Match::Parent); found.entry != nullptr) return found;
  for (auto dot = name.find('.', first_dot + 1); dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    const Found found = entry_of(names.probe(name.substr(dot)), tls::Match::Parent);
    if (found.entry != nullptr) return found;
  }
  return {};
}

const Entry* Snapshot::find_default(std::string_view id_or_name) const noexcept {
  if (const auto id = index_->ids->find(id_or_name); id != index_->ids->end()) return &id->second;
  if (id_or_name.ends_with('.')) id_or_name.remove_suffix(1);
  std::array<char, NameIndex::key_octets_max> lower;
  if (id_or_name.empty() || id_or_name.size() > lower.size()) return nullptr;
  std::transform(id_or_name.begin(), id_or_name.end(), lower.begin(), [](char c) { return to_lower_ascii(c); });
  return find_canonical({lower.data(), id_or_name.size()}).entry;
}

void Snapshot::each(const std::function<void(std::string_view key, const Entry& entry)>& visit) const {
  index_->names->each(index_->entries.size(), [&](NameIndex::Id id, std::string_view key) {
    const Entry* entry = index_->entries.find(id);
    if (entry != nullptr && !entry->empty()) visit(key, *entry);
  });
}

void Snapshot::Index::Counts::add_name(std::string_view key, std::ptrdiff_t by) {
  const auto step = static_cast<std::size_t>(by);  // modulo arithmetic makes -1 right
  names += step;
  if (key.front() == '*') wildcards += step;
  if (key.front() == '.') parents += step;
}

std::shared_ptr<const Snapshot> make_snapshot(const std::vector<std::pair<std::string, Entry>>& entries,
                                              std::shared_ptr<const Snapshot::Index::Ids> ids, std::uint64_t version) {
  auto index = std::make_unique<Snapshot::Index>();
  auto names = std::make_shared<NameIndex>();
  Slots<Entry>::Editor editor(index->entries, 1);
  std::unordered_set<const tls::Credential*> certificates;
  for (const auto& [key, entry] : entries) {
    if (names->full()) names = names->grown();
    const auto id = names->intern(key);
    editor.resize_up(id + std::size_t{1});
    editor.at(id) = entry;
    index->counts.add_name(key, 1);
    for (const auto& credential : {entry.ecdsa, entry.rsa}) {
      if (credential) certificates.insert(credential.get());
    }
  }
  index->counts.certificates = certificates.size();
  index->names = std::move(names);
  index->ids = std::move(ids);
  index->version = version;
  return std::make_shared<const Snapshot>(std::move(index));
}

std::shared_ptr<const Snapshot> empty_snapshot() {
  return make_snapshot({}, std::make_shared<const Snapshot::Index::Ids>(), 0);
}

}  // namespace postern::certs
