// Memory that this process has freed and does not need soon.
#pragma once

namespace postern {

/// Gives whole pages of it back to the system. glibc keeps for each thread what that thread once needed: who loads 10^5
/// certificates and writes them down leaves a third of the process behind. Costs milliseconds, in which other threads may
/// have to wait for memory: for the end of long work. Does nothing where the C library has no way to.
void give_back_freed_memory() noexcept;

}  // namespace postern
