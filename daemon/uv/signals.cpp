#include "daemon/uv/signals.h"

#include <utility>

#include "daemon/uv/handle.h"

namespace postern::uv {

struct Signal::Handle {
  uv_signal_t signal{};
  std::function<void()> on_signal;
};

Signal::Signal(Loop& loop, int number, std::function<void()> on_signal) : handle_(new Handle) {
  handle_->on_signal = std::move(on_signal);
  uv_signal_init(loop.get(), &handle_->signal);
  handle_->signal.data = handle_;
  uv_signal_start(
      &handle_->signal, [](uv_signal_t* signal, int) { static_cast<Handle*>(signal->data)->on_signal(); }, number);
}

Signal::~Signal() { close_and_delete(handle_, handle_->signal); }

}  // namespace postern::uv
