#include "daemon/app/rates.h"

#include <utility>

namespace postern::app {

namespace {

std::uint64_t microseconds(double seconds) { return static_cast<std::uint64_t>(seconds * 1e6); }

}  // namespace

void Rates::sample(const session::Counters& counters, Instant now) {
  observe::Histogram deliveries(session::HandOffCounts::bounds);
  for (const auto& [backend, counts] : counters.hand_offs) deliveries.add(counts.duration);
  std::uint64_t failed = 0;
  for (const auto& [kind, count] : counters.handshakes) failed += kind.outcome == "established" ? 0 : count;
  samples_.push_back({now, counters.sessions_total, failed, counters.messages_taken, counters.messages_deferred,
                      counters.messages_refused, counters.message_octets, std::move(deliveries), counters.handshake_duration});
  while (samples_.size() > 2 && now - samples_[1].at >= history_of) samples_.pop_front();
}

control::HistoryPoint Rates::last_minute() const {
  if (samples_.size() < 2) return {};
  const Sample& last = samples_.back();
  auto first = samples_.end() - 2;
  while (first != samples_.begin() && last.at - first->at < std::chrono::minutes(1)) --first;
  return between(*first, last);
}

std::vector<control::HistoryPoint> Rates::history() const {
  std::vector<control::HistoryPoint> points;
  for (std::size_t i = 1; i < samples_.size(); ++i) points.push_back(between(samples_[i - 1], samples_[i]));
  return points;
}

control::HistoryPoint Rates::between(const Sample& first, const Sample& last) {
  const observe::Histogram deliveries = last.deliveries.since(first.deliveries);
  const observe::Histogram handshakes = last.handshakes.since(first.handshakes);
  control::HistoryPoint point;
  point.milliseconds =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(last.at - first.at).count());
  point.sessions = last.sessions - first.sessions;
  point.handshakes = handshakes.total();
  point.handshakes_failed = last.handshakes_failed - first.handshakes_failed;
  point.messages = last.messages - first.messages;
  point.deferred = last.deferred - first.deferred;
  point.refused = last.refused - first.refused;
  point.octets = last.octets - first.octets;
  point.delivery_median = microseconds(deliveries.quantile(0.5));
  point.delivery_p95 = microseconds(deliveries.quantile(0.95));
  point.handshake_p95 = microseconds(handshakes.quantile(0.95));
  return point;
}

}  // namespace postern::app
