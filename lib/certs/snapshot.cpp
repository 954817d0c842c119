#include "certs/snapshot.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"

namespace postern::certs {

Snapshot::Snapshot(std::unique_ptr<const Index> index) : index_(std::move(index)) {}

Snapshot::~Snapshot() = default;

std::uint64_t Snapshot::version() const { return index_->version; }
std::size_t Snapshot::name_count() const { return index_->name_count; }
std::size_t Snapshot::certificate_count() const { return index_->certificate_count; }

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
  if (index_->wildcard_count > 0) {
    std::array<char, NameIndex::key_octets_max + 1> wildcard;
    wildcard[0] = '*';
    const auto rest = name.substr(first_dot);
    std::copy(rest.begin(), rest.end(), wildcard.begin() + 1);
    const Found found = entry_of({wildcard.data(), rest.size() + 1}, tls::Match::Wildcard);
    if (found.entry != nullptr) return found;
  }
  if (index_->parent_count == 0) return {};
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

std::shared_ptr<const Snapshot> empty_snapshot() {
  auto index = std::make_unique<Snapshot::Index>();
  index->names = std::make_shared<NameIndex>();
  index->ids = std::make_shared<const Snapshot::Index::Ids>();
  return std::make_shared<const Snapshot>(std::move(index));
}

}  // namespace postern::certs
