// What many sessions together were told and have said: commands by verb, replies by class.
#pragma once

#include <array>
#include <cstdint>

#include "smtp/command.h"

namespace postern::smtp {

struct Tally {
  std::array<std::uint64_t, verb_count> commands{};
  std::array<std::uint64_t, 6> replies{};  ///< by the first digit of their code

  void count(Verb verb) { ++commands[static_cast<std::size_t>(verb)]; }
  void count_reply(int code) {
    const auto digit = static_cast<std::size_t>(code / 100);
    if (digit < replies.size()) ++replies[digit];
  }
};

}  // namespace postern::smtp
