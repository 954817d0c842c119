// What one worker has counted. It is written on the worker's loop and copied there for whoever asks (Worker::ask), so that
// counting takes neither locks nor atomics.
//
// Every map is bounded: its keys are configured names, or words of ours; `count_word` cares for the others.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "observe/event.h"
#include "observe/histogram.h"
#include "smtp/tally.h"

namespace postern::session {

using WordCounts = std::map<std::string, std::uint64_t, std::less<>>;

/// Counts under `word`, or under "other" when there are very many words already.
void count_word(WordCounts& counts, std::string_view word);

/// Handshakes that are told apart by all of these.
struct HandshakeKind {
  std::string outcome;  ///< "established", "failed", "timed_out"
  std::string version;  ///< "TLSv1.3"; empty when it did not come so far
  std::string sni;      ///< "exact", "wildcard", "parent", "unknown" (not in the map), "none", "unseen" (no ClientHello)
  friend auto operator<=>(const HandshakeKind&, const HandshakeKind&) = default;
};

/// What became of what one backend was given.
struct HandOffCounts {
  static constexpr std::array<double, 12> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300};
  std::uint64_t taken = 0, refused = 0, deferred = 0;  ///< recipients
  observe::Histogram duration{bounds};                 ///< of a message, to its last answer

  /// What another has counted.
  void add(const HandOffCounts& other);
};

struct Counters {
  static constexpr std::array<double, 9> handshake_bounds{0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 5};
  static constexpr std::array<double, 8> lag_bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1};

  std::uint64_t sessions_open = 0;
  std::uint64_t sessions_total = 0;
  WordCounts sessions_ended;           ///< by outcome
  WordCounts limits_hit;               ///< by the key of the configuration
  std::uint64_t accept_failures = 0;   ///< times that no connection could be accepted, for want of descriptors or memory
  std::uint64_t shed = 0;              ///< connections that were closed at once, to get rid of them, while that lasted

  std::map<HandshakeKind, std::uint64_t> handshakes;
  std::uint64_t handshakes_resumed = 0;
  observe::Histogram handshake_duration{handshake_bounds};  ///< of those that were established
  std::uint64_t key_queue_full = 0;    ///< handshakes that ended for want of a place in the key pool's queue

  smtp::Tally smtp;
  std::uint64_t messages_taken = 0, messages_refused = 0, messages_deferred = 0;  ///< by the reply to the end of data
  std::uint64_t message_octets = 0;    ///< of all of these
  std::uint64_t octets_received = 0, octets_sent = 0;  ///< on the sockets of SMTP sessions
  WordCounts recipients;               ///< by status
  std::map<std::string, HandOffCounts, std::less<>> hand_offs;  ///< by backend

  std::map<std::uint64_t, std::uint64_t> http_requests;  ///< by status
  observe::Histogram loop_lag{lag_bounds};  ///< how late a timer came

  void count_message(int reply_code);
  /// What another worker has counted.
  void add(const Counters& other);
};

}  // namespace postern::session
