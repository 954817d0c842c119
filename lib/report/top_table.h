// Counters of the heaviest of any number of keys, in bounded memory: a sketch in the manner of space-saving (Metwally et
// al., 2005). When the table is full, the lightest tenth of its rows makes room; a key that comes in afterwards may have
// been among them, and its row says how much it may lack: no more than the heaviest row that ever went. So a key that
// weighs more than that is always there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "report/windowed.h"

namespace postern::report {

template <class C>
class TopTable {
 public:
  struct Row {
    Windowed<C> counts;
    std::uint64_t weight = 0;  ///< events
    std::uint64_t missing = 0;  ///< at most so many events more there were
    std::vector<std::string> notes;  ///< a few words that belong to the key
    friend bool operator==(const Row&, const Row&) = default;
  };
  using Rows = std::unordered_map<std::string, Row>;

  explicit TopTable(std::size_t rows_max) : rows_max_(rows_max) {}

  /// The row of a key, for one event more.
  Row& touch(const std::string& key) {
    auto found = rows_.find(key);
    if (found == rows_.end()) {
      if (rows_.size() >= rows_max_) make_room();
      found = rows_.emplace(key, Row{}).first;
      found->second.missing = floor_;
    }
    ++found->second.weight;
    return found->second;
  }
  Row* find(const std::string& key) {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &found->second;
  }
  const Row* find(const std::string& key) const {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &found->second;
  }

  void age(WallTime now, Duration retention) {
    for (auto& [key, row] : rows_) row.counts.age(now, retention);
    std::erase_if(rows_, [](const auto& each) { return each.second.counts.slots().empty(); });
    // What went so long ago would be forgotten by now anyway.
    if (dropped_at_ + std::chrono::duration_cast<std::chrono::seconds>(retention) <= now) floor_ = 0;
    now_ = now;
  }

  void resize(std::size_t rows_max) {
    rows_max_ = rows_max;
    while (rows_.size() > rows_max_) make_room();
  }
  const Rows& rows() const { return rows_; }
  std::uint64_t floor() const { return floor_; }
  WallTime dropped_at() const { return dropped_at_; }
  void restore(Rows rows, std::uint64_t floor, WallTime dropped_at) {
    rows_ = std::move(rows);
    floor_ = floor;
    dropped_at_ = dropped_at;
  }
  friend bool operator==(const TopTable& a, const TopTable& b) {
    return a.rows_ == b.rows_ && a.floor_ == b.floor_ && a.dropped_at_ == b.dropped_at_;
  }

 private:
  void make_room() {
    std::vector<std::pair<std::uint64_t, const std::string*>> order;
    for (const auto& [key, row] : rows_) order.emplace_back(row.weight + row.missing, &key);
    const std::size_t leaving = order.size() / 10 + 1;
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(leaving - 1), order.end());
    for (std::size_t i = 0; i < leaving; ++i) {
      floor_ = std::max(floor_, order[i].first);
      rows_.erase(std::string(*order[i].second));
    }
    dropped_at_ = now_;
  }

  std::size_t rows_max_;
  Rows rows_;
  std::uint64_t floor_ = 0;  // the heaviest row that went
  WallTime dropped_at_{};
  WallTime now_{};           // as of the last age()
};

}  // namespace postern::report
