// Every name of the certificate map, interned once and shared by all generations of the map: text → a small number.
//
// Append-only, with one writer (the loader) and any number of readers at the same time: a reader of an older snapshot
// may come upon names that were added after it, and knows them by their number. So a renewal copies nothing here, and
// an added name costs one record; only growth of the hash table makes a new NameIndex, which shares the records.
//
// Keys are canonical host names, `*.` and a parent for wildcards, `.` and a parent for the entries of Postfix maps that
// cover everything below: no host name holds a `*` or begins with a dot, so the three kinds cannot be mistaken.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/page_block.h"

namespace postern::certs {

class NameIndex {
 public:
  using Id = std::uint32_t;
  static constexpr std::size_t key_octets_max = 255;
  static constexpr std::size_t names_max = (std::size_t{1} << 26) - 1;

  NameIndex();
  NameIndex(const NameIndex&) = delete;
  NameIndex& operator=(const NameIndex&) = delete;
  ~NameIndex();

  struct Hit {
    Id id;
    std::string_view key;  ///< as it lies in the index
  };
  /// A key on its way to find(): the memory that says whether it is there is being fetched already. Whoever has several
  /// keys to look for makes all their probes first, and waits for memory once.
  struct Probe {
    std::string_view key;
    std::uint64_t hash = 0;
  };
  Probe probe(std::string_view key) const noexcept;
  /// Also finds what was added after the reader's snapshot: its number is too large then. No allocation.
  std::optional<Hit> find(const Probe& probe) const noexcept;
  std::optional<Hit> find(std::string_view key) const noexcept { return find(probe(key)); }

  // For the writer only:

  /// The number of a key, which is added if it is new. Not when full().
  Id intern(std::string_view key);
  bool full() const { return count_ >= count_max_; }
  /// An index of twice the size with the same keys under the same numbers.
  std::unique_ptr<NameIndex> grown() const;
  /// The same keys under the same numbers, for another writer: nothing is shared.
  std::unique_ptr<NameIndex> copy() const;
  std::size_t size() const { return count_; }
  std::string_view key(Id id) const { return record_key(positions_[id]); }
  /// Octets that records and table take.
  std::size_t memory() const;

  /// Calls `visit` with the keys numbered 0 to `count` - 1, in that order. For readers too, with the count of their
  /// snapshot.
  void each(std::size_t count, const std::function<void(Id, std::string_view)>& visit) const;

 private:
  // A record: length (1 octet), text, padding; in the order of their numbers. Positions count in units of 4 octets.
  static constexpr std::size_t unit_octets = 4;
  static constexpr std::size_t chunk_units = huge_page_octets / unit_octets;
  using Chunk = std::shared_ptr<char[]>;

  NameIndex(std::size_t table_size, const std::uint64_t (&seed)[2]);

  std::uint64_t hash(std::string_view key) const noexcept;
  char* record(std::uint32_t position) const noexcept;
  std::string_view record_key(std::uint32_t position) const noexcept;
  void insert(std::uint64_t hash, std::uint32_t position, Id id);
  std::uint32_t append_record(std::string_view key);

  std::uint64_t seed_[2];  // of this process, so that nobody can choose names that collide
  std::size_t table_size_;  // a power of two
  std::size_t count_ = 0;
  std::size_t count_max_;
  std::size_t chunk_count_ = 0;
  std::size_t next_unit_ = 0;  // where the next record goes
  // A cell: 8 bits of the hash, the number (26 bits), position + 1 (30 bits); 0 is empty. Stored with release after the
  // record is whole. With the number here, what it leads to is fetched from memory while the record is compared.
  std::shared_ptr<char[]> table_memory_;
  std::atomic<std::uint64_t>* table_;
  std::unique_ptr<Chunk[]> chunks_;  // room for count_max_ records of the greatest length: never moved
  std::vector<std::uint32_t> positions_;  // by number; the writer's only
};

}  // namespace postern::certs
