#include "base/freed_memory.h"

#include <cstdlib>  // which tells whether this is glibc
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace postern {

void give_back_freed_memory() noexcept {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}  // namespace postern
