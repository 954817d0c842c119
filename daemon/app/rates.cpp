#include "daemon/app/rates.h"

namespace postern::app {

void Rates::sample(const session::Counters& counters, Instant now) {
  samples_.push_back({now, counters.sessions_total, counters.messages_taken, counters.message_octets});
  while (samples_.size() > 2 && now - samples_[1].at >= std::chrono::minutes(1)) samples_.pop_front();
}

control::RateStatus Rates::last_minute() const {
  if (samples_.size() < 2) return {};
  const Sample& first = samples_.front();
  const Sample& last = samples_.back();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(last.at - first.at).count();
  return {static_cast<std::uint64_t>(seconds), last.sessions - first.sessions, last.messages - first.messages,
          last.octets - first.octets};
}

}  // namespace postern::app
