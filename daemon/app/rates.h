// How much has come lately.
#pragma once

#include <cstdint>
#include <deque>

#include "base/instant.h"
#include "control/protocol.h"
#include "daemon/session/counters.h"

namespace postern::app {

class Rates {
 public:
  static constexpr Duration sample_every = std::chrono::seconds(5);

  /// To be called every `sample_every`.
  void sample(const session::Counters& counters, Instant now);

  /// Between the last sample and one about a minute before it.
  control::RateStatus last_minute() const;
  /// When the last sample was taken.
  Instant sampled_at() const { return samples_.empty() ? Instant{} : samples_.back().at; }

 private:
  struct Sample {
    Instant at;
    std::uint64_t sessions, messages, octets;
  };
  std::deque<Sample> samples_;
};

}  // namespace postern::app
