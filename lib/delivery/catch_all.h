// Domains whose backend takes every local part: asking it about recipients there tells nothing. They are found by
// asking about a name that cannot exist, once a few real ones were taken.
#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>

#include "base/instant.h"
#include "delivery/settings.h"
#include "smtp/reply.h"

namespace postern::delivery {

class CatchAllDomains {
 public:
  explicit CatchAllDomains(RecipientCheckSettings settings = {}, std::size_t domains_max = 10'000);

  void configure(const RecipientCheckSettings& settings) { settings_ = settings; }

  /// `key` is backend name and domain.
  bool takes_everything(const std::string& key, Instant now);

  /// The backend said that it takes a recipient of the domain. True: now is the time to ask it about a random name,
  /// and to tell the answer to probed().
  bool wants_probe(const std::string& key, Instant now);

  /// What the backend said of the random name. True: this is a catch-all, and that is news.
  bool probed(const std::string& key, const smtp::Reply& reply, Instant now);

  void clear();
  std::size_t size() const { return by_age_.size(); }

 private:
  enum class Kind { Counting, Probing, Ordinary, TakesEverything };
  struct Domain {
    std::string key;
    Kind kind = Kind::Counting;
    std::size_t taken = 0;  // answers since Counting began
    Instant until{};        // Ordinary, TakesEverything: then it is Counting again
  };
  Domain* find(const std::string& key, Instant now);

  RecipientCheckSettings settings_;
  std::size_t domains_max_;
  std::list<Domain> by_age_;  // first seen first
  std::unordered_map<std::string, std::list<Domain>::iterator> by_key_;
};

}  // namespace postern::delivery
