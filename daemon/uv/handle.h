// For the files of this folder: how an object that holds a libuv handle ends.
#pragma once

#include <uv.h>

namespace postern::uv {

/// Closes `handle`, a member of `*owner` whose `data` points to it, and deletes the owner in the close callback: libuv
/// uses a handle's memory until then.
template <class Owner, class Handle>
void close_and_delete(Owner* owner, Handle& handle) {
  handle.data = owner;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle), [](uv_handle_t* closed) { delete static_cast<Owner*>(closed->data); });
}

}  // namespace postern::uv
