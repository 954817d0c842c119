// Bytes in flight. Received bytes are passed as std::string_view (SMTP is text, and TLS records are just bytes); what
// has to wait is kept in a ByteQueue. No parsing here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace postern {

/// A first-in first-out buffer. Taking from the front is cheap, and an emptied queue gives its memory back, so that
/// an idle session costs nothing.
class ByteQueue {
 public:
  void append(std::string_view bytes);

  /// Everything that waits, oldest first. Good until the next call that is not const.
  std::string_view view() const { return std::string_view(bytes_).substr(taken_); }

  std::size_t size() const { return bytes_.size() - taken_; }
  bool empty() const { return size() == 0; }

  /// Drops `count` bytes from the front; `count` must not exceed size().
  void consume(std::size_t count);

  /// Everything that waits, moved out; the queue is empty afterwards.
  std::string take();

  void clear();

 private:
  std::string bytes_;
  std::size_t taken_ = 0;  // bytes_[0, taken_) were consumed and wait to be compacted away
};

}  // namespace postern
