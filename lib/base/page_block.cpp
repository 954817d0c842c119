#include "base/page_block.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace postern {

namespace {

char* mapped(std::size_t octets) {
  void* const memory = mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

/// A mapping whose address is a multiple of a huge page: what is too much at both ends goes back.
char* mapped_aligned(std::size_t octets) {
  char* const memory = mapped(octets + huge_page_octets);
  const auto beyond = reinterpret_cast<std::uintptr_t>(memory) % huge_page_octets;
  const std::size_t before = beyond == 0 ? 0 : huge_page_octets - beyond;
  if (before > 0) munmap(memory, before);
  munmap(memory + before + octets, huge_page_octets - before);
  return memory + before;
}

}  // namespace

std::shared_ptr<char[]> page_block(std::size_t octets, Pages pages) {
  if (pages == Pages::Huge) octets = (octets + huge_page_octets - 1) / huge_page_octets * huge_page_octets;
  char* const memory = pages == Pages::Huge ? mapped_aligned(octets) : mapped(octets);
  // A system that has none says no, and ordinary pages serve as well.
  if (pages == Pages::Huge) (void)madvise(memory, octets, MADV_HUGEPAGE);
  return std::shared_ptr<char[]>(memory, [octets](char* block) { munmap(block, octets); });
}

}  // namespace postern
