// Memory straight from the system, for tables of many megabytes that are read at random: each such read misses the
// caches, and with ordinary pages of 4 KiB the processor must also read several levels of page tables first.
#pragma once

#include <cstddef>
#include <memory>

namespace postern {

enum class Pages {
  Ordinary,
  Huge,  ///< as far as the system has them: memory is then taken 2 MiB at a time
};

constexpr std::size_t huge_page_octets = std::size_t{2} * 1024 * 1024;

/// All zero. Ordinary pages are taken from the system as they are written to. Throws std::bad_alloc.
std::shared_ptr<char[]> page_block(std::size_t octets, Pages pages);

}  // namespace postern
