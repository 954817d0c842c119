#include "certs/name_index.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <memory>

#include "tls/compat.h"

namespace postern::certs {

namespace {

constexpr std::size_t first_table_size = 64;
constexpr std::size_t header_octets = 1;

constexpr std::size_t record_units(std::size_t key_octets) { return (header_octets + key_octets + 3) / 4; }

constexpr unsigned position_bits = 30;
constexpr unsigned id_bits = 26;

constexpr std::uint64_t cell_of(std::uint64_t hash, std::uint32_t position, NameIndex::Id id) {
  return (hash >> (position_bits + id_bits) << (position_bits + id_bits)) | (std::uint64_t{id} << position_bits) |
         (position + 1);
}
constexpr std::uint32_t position_in(std::uint64_t cell) {
  return static_cast<std::uint32_t>(cell & ((std::uint64_t{1} << position_bits) - 1)) - 1;
}
constexpr NameIndex::Id id_in(std::uint64_t cell) {
  return static_cast<NameIndex::Id>(cell >> position_bits & ((std::uint64_t{1} << id_bits) - 1));
}
constexpr bool same_tag(std::uint64_t cell, std::uint64_t hash) {
  return (cell ^ hash) >> (position_bits + id_bits) == 0;
}

__extension__ using Wide = unsigned __int128;

std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  const Wide product = Wide{a} * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word_at(const char* at) {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::shared_ptr<char[]> table_memory(std::size_t octets) {
  return page_block(octets, octets < huge_page_octets ? Pages::Ordinary : Pages::Huge);
}

/// A small map takes what it needs, a page at a time; one that has filled a chunk is going to need more.
Pages chunk_pages(std::size_t chunk) { return chunk == 0 ? Pages::Ordinary : Pages::Huge; }

}  // namespace

NameIndex::NameIndex(std::size_t table_size, const std::uint64_t (&seed)[2])
    : seed_{seed[0], seed[1]},
      table_size_(table_size),
      count_max_(table_size / 8 * 5),
      table_memory_(table_memory(table_size * sizeof table_[0])),
      table_(reinterpret_cast<std::atomic<std::uint64_t>*>(table_memory_.get())),
      // One more for each chunk whose end is too short for a record.
      chunks_(std::make_unique<Chunk[]>(count_max_ * record_units(key_octets_max) / (chunk_units - 66) + 2)) {
  std::uninitialized_value_construct_n(table_, table_size);
}

NameIndex::NameIndex() : NameIndex(first_table_size, {0, 0}) {
  RAND_bytes(reinterpret_cast<std::uint8_t*>(seed_), sizeof seed_);
}

NameIndex::~NameIndex() = default;

/// Multiplies octets with secrets, sixteen at a time: a keyed hash that costs little more than reading the name.
/// (SipHash takes ten times as long, and a name that is not in the map is hashed once for each of its labels.)
std::uint64_t NameIndex::hash(std::string_view key) const noexcept {
  const char* at = key.data();
  std::size_t left = key.size();
  std::uint64_t state = seed_[0] ^ left;
  for (; left > 16; at += 16, left -= 16) {
    state = folded_product(word_at(at) ^ seed_[1], word_at(at + 8) ^ state);
  }
  std::array<char, 16> rest{};
  if (left > 0) std::memcpy(rest.data(), at, left);
  state = folded_product(word_at(rest.data()) ^ seed_[1], word_at(rest.data() + 8) ^ state);
  return folded_product(state ^ seed_[0], seed_[1]);
}

char* NameIndex::record(std::uint32_t position) const noexcept {
  return chunks_[position / chunk_units].get() + (position % chunk_units) * unit_octets;
}

std::string_view NameIndex::record_key(std::uint32_t position) const noexcept {
  const char* at = record(position);
  return {at + header_octets, static_cast<unsigned char>(*at)};
}

NameIndex::Probe NameIndex::probe(std::string_view key) const noexcept {
  const std::uint64_t h = hash(key);
  __builtin_prefetch(&table_[h & (table_size_ - 1)]);
  return {key, h};
}

std::optional<NameIndex::Hit> NameIndex::find(const Probe& probe) const noexcept {
  const std::uint64_t h = probe.hash;
  for (std::size_t cell = h & (table_size_ - 1);; cell = (cell + 1) & (table_size_ - 1)) {
    const std::uint64_t value = table_[cell].load(std::memory_order_acquire);
    if (value == 0) return std::nullopt;
    if (!same_tag(value, h)) continue;
    const auto text = record_key(position_in(value));
    if (text == probe.key) return Hit{id_in(value), text};
  }
}

void NameIndex::insert(std::uint64_t h, std::uint32_t position, Id id) {
  std::size_t cell = h & (table_size_ - 1);
  while (table_[cell].load(std::memory_order_relaxed) != 0) cell = (cell + 1) & (table_size_ - 1);
  table_[cell].store(cell_of(h, position, id), std::memory_order_release);
}

std::uint32_t NameIndex::append_record(std::string_view key) {
  const std::size_t units = record_units(key.size());
  if (next_unit_ + units > chunk_count_ * chunk_units) {
    next_unit_ = chunk_count_ * chunk_units;
    chunks_[chunk_count_] = page_block(chunk_units * unit_octets, chunk_pages(chunk_count_));
    ++chunk_count_;
  }
  const auto position = static_cast<std::uint32_t>(next_unit_);
  next_unit_ += units;
  char* at = record(position);
  *at = static_cast<char>(key.size());
  std::memcpy(at + header_octets, key.data(), key.size());
  return position;
}

NameIndex::Id NameIndex::intern(std::string_view key) {
  if (const auto known = find(key)) return known->id;
  assert(!full() && count_ < names_max && !key.empty() && key.size() <= key_octets_max);
  const auto id = static_cast<Id>(count_++);
  positions_.push_back(append_record(key));
  insert(hash(key), positions_.back(), id);
  return id;
}

std::unique_ptr<NameIndex> NameIndex::grown() const {
  std::unique_ptr<NameIndex> bigger(new NameIndex(table_size_ * 2, seed_));
  bigger->count_ = count_;
  bigger->chunk_count_ = chunk_count_;
  bigger->next_unit_ = next_unit_;
  bigger->positions_ = positions_;
  for (std::size_t i = 0; i < chunk_count_; ++i) bigger->chunks_[i] = chunks_[i];
  for (Id id = 0; id < count_; ++id) bigger->insert(hash(key(id)), positions_[id], id);
  return bigger;
}

std::unique_ptr<NameIndex> NameIndex::copy() const {
  std::unique_ptr<NameIndex> made(new NameIndex(table_size_, seed_));
  made->count_ = count_;
  made->chunk_count_ = chunk_count_;
  made->next_unit_ = next_unit_;
  made->positions_ = positions_;
  for (std::size_t i = 0; i < chunk_count_; ++i) {
    const auto octets = std::min(chunk_units, next_unit_ - i * chunk_units) * unit_octets;
    made->chunks_[i] = page_block(chunk_units * unit_octets, chunk_pages(i));
    std::memcpy(made->chunks_[i].get(), chunks_[i].get(), octets);
  }
  for (std::size_t i = 0; i < table_size_; ++i) {
    made->table_[i].store(table_[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
  }
  return made;
}

std::size_t NameIndex::memory() const {
  return table_size_ * sizeof(std::uint64_t) + next_unit_ * unit_octets +
         positions_.capacity() * sizeof(std::uint32_t);
}

void NameIndex::each(std::size_t count, const std::function<void(Id, std::string_view)>& visit) const {
  std::size_t position = 0;
  for (Id id = 0; id < count; ++id) {
    // The end of a chunk that was too short for the next record is all zero, and no key is empty.
    auto text = record_key(static_cast<std::uint32_t>(position));
    if (text.empty()) {
      position = (position / chunk_units + 1) * chunk_units;
      text = record_key(static_cast<std::uint32_t>(position));
    }
    visit(id, text);
    position += record_units(text.size());
  }
}

}  // namespace postern::certs
