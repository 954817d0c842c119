#include "certs/name_index.h"

#include <cassert>
#include <cstring>

#include "tls/compat.h"

namespace postern::certs {

namespace {

constexpr std::size_t first_table_size = 64;
constexpr std::size_t header_octets = 5;

constexpr std::size_t record_units(std::size_t key_octets) { return (header_octets + key_octets + 3) / 4; }

}  // namespace

NameIndex::NameIndex(std::size_t table_size, const std::uint64_t (&seed)[2])
    : seed_{seed[0], seed[1]},
      table_size_(table_size),
      count_max_(table_size / 8 * 5),
      table_(std::make_unique<std::atomic<std::uint64_t>[]>(table_size)),
      // One more for each chunk whose end is too short for a record.
      chunks_(std::make_unique<Chunk[]>(count_max_ * record_units(key_octets_max) / (chunk_units - 66) + 2)) {}

NameIndex::NameIndex() : NameIndex(first_table_size, {0, 0}) {
  RAND_bytes(reinterpret_cast<std::uint8_t*>(seed_), sizeof seed_);
}

NameIndex::~NameIndex() = default;

std::uint64_t NameIndex::hash(std::string_view key) const noexcept {
  return SIPHASH_24(seed_, reinterpret_cast<const std::uint8_t*>(key.data()), key.size());
}

const char* NameIndex::record(std::uint32_t position) const noexcept {
  return chunks_[position / chunk_units].get() + (position % chunk_units) * unit_octets;
}

std::string_view NameIndex::record_key(std::uint32_t position) const noexcept {
  const char* at = record(position);
  return {at + header_octets, static_cast<unsigned char>(at[4])};
}

std::optional<NameIndex::Hit> NameIndex::find(std::string_view key) const noexcept {
  const std::uint64_t h = hash(key);
  for (std::size_t cell = h & (table_size_ - 1);; cell = (cell + 1) & (table_size_ - 1)) {
    const std::uint64_t value = table_[cell].load(std::memory_order_acquire);
    if (value == 0) return std::nullopt;
    if (value >> 32 != h >> 32) continue;
    const auto position = static_cast<std::uint32_t>(value) - 1;
    const auto text = record_key(position);
    if (text != key) continue;
    Id id;
    std::memcpy(&id, record(position), sizeof id);
    return Hit{id, text};
  }
}

void NameIndex::insert(std::uint64_t h, std::uint32_t position) {
  std::size_t cell = h & (table_size_ - 1);
  while (table_[cell].load(std::memory_order_relaxed) != 0) cell = (cell + 1) & (table_size_ - 1);
  table_[cell].store((h >> 32 << 32) | (std::uint64_t{position} + 1), std::memory_order_release);
}

std::uint32_t NameIndex::append_record(Id id, std::string_view key) {
  const std::size_t units = record_units(key.size());
  if (next_unit_ + units > chunk_count_ * chunk_units) {
    next_unit_ = chunk_count_ * chunk_units;
    chunks_[chunk_count_++] = std::make_shared<char[]>(chunk_units * unit_octets);
  }
  const auto position = static_cast<std::uint32_t>(next_unit_);
  next_unit_ += units;
  char* at = chunks_[position / chunk_units].get() + (position % chunk_units) * unit_octets;
  std::memcpy(at, &id, sizeof id);
  at[4] = static_cast<char>(key.size());
  std::memcpy(at + header_octets, key.data(), key.size());
  return position;
}

NameIndex::Id NameIndex::intern(std::string_view key) {
  if (const auto known = find(key)) return known->id;
  assert(!full() && !key.empty() && key.size() <= key_octets_max);
  const auto id = static_cast<Id>(count_++);
  positions_.push_back(append_record(id, key));
  insert(hash(key), positions_.back());
  return id;
}

std::unique_ptr<NameIndex> NameIndex::grown() const {
  std::unique_ptr<NameIndex> bigger(new NameIndex(table_size_ * 2, seed_));
  bigger->count_ = count_;
  bigger->chunk_count_ = chunk_count_;
  bigger->next_unit_ = next_unit_;
  bigger->positions_ = positions_;
  for (std::size_t i = 0; i < chunk_count_; ++i) bigger->chunks_[i] = chunks_[i];
  for (const auto position : positions_) bigger->insert(hash(record_key(position)), position);
  return bigger;
}

std::size_t NameIndex::memory() const {
  return table_size_ * sizeof(std::uint64_t) + chunk_count_ * chunk_units * unit_octets +
         positions_.capacity() * sizeof(std::uint32_t);
}

void NameIndex::each(std::size_t count, const std::function<void(Id, std::string_view)>& visit) const {
  std::size_t position = 0;
  for (Id id = 0; id < count; ++id) {
    // The end of a chunk that was too short for the next record is all zero, and no key is empty.
    auto text = position % chunk_units == 0 || chunk_units - position % chunk_units >= 2
                    ? record_key(static_cast<std::uint32_t>(position))
                    : std::string_view();
    if (text.empty()) {
      position = (position / chunk_units + 1) * chunk_units;
      text = record_key(static_cast<std::uint32_t>(position));
    }
    visit(id, text);
    position += record_units(text.size());
  }
}

}  // namespace postern::certs
