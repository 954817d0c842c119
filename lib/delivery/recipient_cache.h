// What backends said of recipients, for a while (DESIGN section 3): only 2xx and 5.1.x are kept.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/instant.h"
#include "smtp/reply.h"

namespace postern::delivery {

class RecipientCache {
 public:
  static constexpr Duration accepted_for = std::chrono::hours(1);
  static constexpr Duration unknown_for = std::chrono::minutes(1);

  explicit RecipientCache(std::size_t entries_max = 100'000);

  /// `key` is backend name and forward-path.
  std::optional<smtp::Reply> find(const std::string& key, Instant now);
  void remember(const std::string& key, const smtp::Reply& reply, Instant now);
  void clear();
  std::size_t size() const;

 private:
  struct Entry {
    std::string key;
    smtp::Reply reply;
    Instant until;
  };
  std::size_t entries_max_;
  std::list<Entry> by_age_;  // least recently remembered first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace postern::delivery
