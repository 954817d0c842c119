// Names one behind the other in one piece of memory: a first load tells 10^6 of them, and as a string each they would take
// more than the map itself.
#pragma once

#include <cassert>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "certs/name_index.h"

namespace postern::certs {

/// Keys of the certificate map (see NameIndex), in the order in which they were added.
class NameList {
 public:
  /// What it gives is valid until the list is changed.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using pointer = const std::string_view*;
    using reference = std::string_view;

    explicit Iterator(const char* at) : at_(at) {}
    std::string_view operator*() const { return {at_ + 1, static_cast<unsigned char>(*at_)}; }
    Iterator& operator++() {
      at_ += 1 + static_cast<unsigned char>(*at_);
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    const char* at_;
  };

  void add(std::string_view name) {
    assert(name.size() <= NameIndex::key_octets_max);
    octets_.push_back(static_cast<char>(name.size()));
    octets_.append(name);
    ++size_;
  }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  Iterator begin() const { return Iterator(octets_.data()); }
  Iterator end() const { return Iterator(octets_.data() + octets_.size()); }

  std::vector<std::string> strings() const {
    std::vector<std::string> all;
    all.reserve(size_);
    for (const auto name : *this) all.emplace_back(name);
    return all;
  }

 private:
  std::string octets_;  // of each name its length, then its text
  std::size_t size_ = 0;
};

}  // namespace postern::certs
