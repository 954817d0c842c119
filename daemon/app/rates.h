// How much has come lately.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/instant.h"
#include "control/protocol.h"
#include "daemon/session/counters.h"
#include "observe/histogram.h"

namespace postern::app {

class Rates {
 public:
  static constexpr Duration sample_every = std::chrono::seconds(5);
  static constexpr Duration history_of = std::chrono::minutes(10);

  /// To be called every `sample_every`.
  void sample(const session::Counters& counters, Instant now);

  /// Between the last sample and one about a minute before it.
  control::HistoryPoint last_minute() const;
  /// Between each sample and the next, of the last ten minutes; oldest first.
  std::vector<control::HistoryPoint> history() const;
  /// When the last sample was taken.
  Instant sampled_at() const { return samples_.empty() ? Instant{} : samples_.back().at; }

 private:
  struct Sample {
    Instant at;
    std::uint64_t sessions, handshakes_failed, messages, deferred, refused, octets;
    observe::Histogram deliveries, handshakes;  // of all backends; that were established
  };
  static control::HistoryPoint between(const Sample& first, const Sample& last);

  std::deque<Sample> samples_;
};

}  // namespace postern::app
