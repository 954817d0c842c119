#include "base/page_block.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tests/support/catch.h"

using postern::huge_page_octets;
using postern::page_block;
using postern::Pages;

TEST_CASE("a block is zero from end to end and can be written to") {
  for (const auto pages : {Pages::Ordinary, Pages::Huge}) {
    for (const std::size_t octets : {std::size_t{1}, std::size_t{4096}, huge_page_octets - 1, 3 * huge_page_octets + 5}) {
      const auto block = page_block(octets, pages);
      CHECK(std::all_of(block.get(), block.get() + static_cast<std::ptrdiff_t>(octets), [](char c) { return c == 0; }));
      std::fill(block.get(), block.get() + static_cast<std::ptrdiff_t>(octets), 'x');
      CHECK(block.get()[octets - 1] == 'x');
    }
  }
}

TEST_CASE("huge pages begin where the processor can have them") {
  const auto block = page_block(huge_page_octets, Pages::Huge);
  CHECK(reinterpret_cast<std::uintptr_t>(block.get()) % huge_page_octets == 0);
}
