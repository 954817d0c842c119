// POSIX signals as loop callbacks. One Loop of the process (the control thread's) owns them.
#pragma once

#include <functional>
#include <memory>

#include "daemon/uv/loop.h"

namespace postern::uv {

/// One signal number. Signals that come faster than the loop turns may be told once; destroying it gives the signal
/// its default action back.
class Signal {
 public:
  Signal(Loop& loop, int number, std::function<void()> on_signal);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace postern::uv
