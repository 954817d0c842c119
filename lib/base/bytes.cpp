#include "base/bytes.h"

#include <cassert>
#include <utility>

namespace postern {

namespace {
// An emptied queue keeps a buffer up to this size for the next bytes; more would be memory held by idle sessions.
constexpr std::size_t kept_octets_max = 512;
}  // namespace

void ByteQueue::append(std::string_view bytes) {
  // Compact only when at least half is dead, so that the total cost of moving stays linear.
  if (taken_ > 0 && taken_ >= bytes_.size() / 2) {
    bytes_.erase(0, taken_);
    taken_ = 0;
  }
  bytes_.append(bytes);
}

void ByteQueue::consume(std::size_t count) {
  assert(count <= size());
  taken_ += count;
  if (taken_ == bytes_.size()) clear();
}

std::string ByteQueue::take() {
  if (taken_ > 0) {
    bytes_.erase(0, taken_);
    taken_ = 0;
  }
  return std::exchange(bytes_, {});
}

void ByteQueue::clear() {
  taken_ = 0;
  if (bytes_.capacity() > kept_octets_max) {
    std::string().swap(bytes_);
  } else {
    bytes_.clear();
  }
}

}  // namespace postern
