// The addresses of a backend, tried one after the other, each for its share of the time that is left.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/instant.h"

namespace postern::session {

class AddressQueue {
 public:
  explicit AddressQueue(Instant deadline) : deadline_(deadline) {}

  void fill(std::vector<Endpoint> addresses) {
    addresses_ = std::move(addresses);
    next_ = 0;
  }
  void clear() { fill({}); }
  bool empty() const { return next_ == addresses_.size(); }

  struct Attempt {
    Endpoint to;
    Instant until;
  };
  /// Not when empty().
  Attempt next(Instant now) {
    const auto left = std::max(deadline_ - now, Duration::zero());
    const auto share = left / static_cast<Duration::rep>(addresses_.size() - next_);
    return {addresses_[next_++], now + share};
  }

 private:
  Instant deadline_;
  std::vector<Endpoint> addresses_;
  std::size_t next_ = 0;
};

}  // namespace postern::session
