// POSIX signals as loop callbacks. One Loop of the process (the control thread's) owns them.
#pragma once

#include <functional>
#include <memory>

#include "daemon/uv/loop.h"

namespace postern::uv {

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
