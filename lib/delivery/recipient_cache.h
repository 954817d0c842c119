// What backends said of recipients, for a while (DESIGN section 3): only 2xx and 5.1.x are kept.
#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/instant.h"
#include "delivery/settings.h"
#include "smtp/reply.h"

namespace postern::delivery {

/// RFC 3463 section 3.2: addressing. Whoever says this does not know the recipient.
bool is_unknown_recipient(const smtp::Reply& reply);

class RecipientCache {
 public:
  explicit RecipientCache(RecipientCheckSettings settings = {});

  /// What was remembered before stays as long as it was to stay.
  void configure(const RecipientCheckSettings& settings);

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
  void forget_oldest();
  std::optional<Duration> lifetime(const smtp::Reply& reply) const;

  RecipientCheckSettings settings_;
  std::list<Entry> by_age_;  // least recently remembered first
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace postern::delivery
