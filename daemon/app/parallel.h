// Runs a loader's tasks on several threads: those of a bounded pool, and the one that waits for them.
#pragma once

#include "certs/loader.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

/// The threads to help with it on this machine: the caller is one more.
unsigned helper_count();

/// An executor that shares its tasks with `helpers` threads of `pool`, which must outlive it. When the pool is busy, the
/// caller does all the work. A task must not throw.
certs::Executor on_pool(uv::WorkPool& pool, unsigned helpers);

}  // namespace postern::app
