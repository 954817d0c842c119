// What one worker has counted; read by the control thread at any time.
#pragma once

#include <atomic>
#include <cstdint>

namespace postern::session {

struct Counters {
  std::atomic<std::uint64_t> sessions_open{0};
  std::atomic<std::uint64_t> sessions_total{0};
  std::atomic<std::uint64_t> messages_taken{0};
  std::atomic<std::uint64_t> key_queue_full{0};  ///< handshakes that ended for want of a place in the key pool's queue
};

}  // namespace postern::session
