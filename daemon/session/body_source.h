// Where a hand-off reads the message from: from memory at once, or from a spilled file by way of a worker thread.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "base/result.h"

namespace postern::session {

/// Reads one message once, from start to end. Each attempt of a hand-off has its own.
class BodySource {
 public:
  virtual ~BodySource() = default;

  /// Gives the next piece to `piece`, within the call or later, always on the loop's thread; an empty piece is the end.
  /// The view is good only during the callback. Not to be called again before the callback has come. When the source is
  /// destroyed first, the callback never comes. An error means that the message cannot be read any more: the hand-off
  /// must be abandoned without a final dot.
  virtual void next(std::function<void(Result<std::string_view> piece)> piece) = 0;

  /// Another source of the same message, which stands at its start.
  virtual std::unique_ptr<BodySource> again() const = 0;
};

}  // namespace postern::session
