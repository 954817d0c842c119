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

Found Snapshot::entry_of(std::string_view key, tls::Match match) const noexcept {
  const auto hit = index_->names->find(key);
  if (!hit) return {};
  const Entry* entry = index_->entries.find(hit->id);  // null for a name that a later generation added
  if (entry == nullptr || entry->empty()) return {};
  return {entry, match, hit->key};
}

Found Snapshot::find_canonical(std::string_view name) const noexcept {
  if (const Found exact = entry_of(name, tls::Match::Exact); exact.entry != nullptr) return exact;
  const auto first_dot = name.find('.');
  if (first_dot == std::string_view::npos || name.size() > NameIndex::key_octets_max) return {};
  if (index_->counts.wildcards > 0) {
    std::array<char, NameIndex::key_octets_max + 1> wildcard;
    wildcard[0] = '*';
    const auto rest = name.substr(first_dot);
    std::copy(rest.begin(), rest.end(), wildcard.begin() + 1);
    const Found found = entry_of({wildcard.data(), rest.size() + 1}, tls::Match::Wildcard);
    if (found.entry != nullptr) return found;
  }
  if (index_->counts.parents == 0) return {};
  for (auto dot = first_dot; dot != std::string_view::npos; dot = name.find('.', dot + 1)) {
    const Found found = entry_of(name.substr(dot), tls::Match::Parent);
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
