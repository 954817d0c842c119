#include "daemon/session/counters.h"

namespace postern::session {

namespace {

constexpr std::size_t words_max = 64;

template <class Key, class Compare>
void add_counts(std::map<Key, std::uint64_t, Compare>& sums, const std::map<Key, std::uint64_t, Compare>& more) {
  for (const auto& [key, count] : more) sums[key] += count;
}

}  // namespace

void count_word(WordCounts& counts, std::string_view word) {
  const auto found = counts.find(word);
  if (found != counts.end()) {
    ++found->second;
  } else {
    ++counts[counts.size() < words_max ? std::string(word) : "other"];
  }
}

void Counters::count_message(int reply_code) {
  ++(reply_code < 300 ? messages_taken : reply_code < 500 ? messages_deferred : messages_refused);
}

void HandOffCounts::add(const HandOffCounts& other) {
  taken += other.taken;
  refused += other.refused;
  deferred += other.deferred;
  duration.add(other.duration);
}

void Counters::add(const Counters& other) {
  sessions_open += other.sessions_open;
  sessions_total += other.sessions_total;
  add_counts(sessions_ended, other.sessions_ended);
  add_counts(limits_hit, other.limits_hit);
  accept_failures += other.accept_failures;
  shed += other.shed;
  add_counts(handshakes, other.handshakes);
  handshakes_resumed += other.handshakes_resumed;
  handshake_duration.add(other.handshake_duration);
  key_queue_full += other.key_queue_full;
  for (std::size_t i = 0; i < smtp.commands.size(); ++i) smtp.commands[i] += other.smtp.commands[i];
  for (std::size_t i = 0; i < smtp.replies.size(); ++i) smtp.replies[i] += other.smtp.replies[i];
  messages_taken += other.messages_taken;
  messages_refused += other.messages_refused;
  messages_deferred += other.messages_deferred;
  message_octets += other.message_octets;
  octets_received += other.octets_received;
  octets_sent += other.octets_sent;
  add_counts(recipients, other.recipients);
  for (const auto& [backend, counts] : other.hand_offs) hand_offs[backend].add(counts);
  add_counts(http_requests, other.http_requests);
  loop_lag.add(other.loop_lag);
}

}  // namespace postern::session
