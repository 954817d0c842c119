// Notes that say the same again: the first is written, the next ones are counted, and a minute later one line says how
// many there were. A dead backend, met by every worker and every message, is then a line a minute. Sessions and recipients
// have lines of their own that are never left out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/instant.h"
#include "observe/event.h"

namespace postern::observe {

class Repeats {
 public:
  static constexpr Duration window = std::chrono::seconds(60);
  static constexpr std::size_t topics_max = 256;  ///< beyond, the one that began first is summed up early

  /// What is to be written now that this note came: the note itself, or nothing, or the end of an earlier run before it.
  std::vector<Note> admit(const Note& note, Instant now);

  /// The sums of the windows that have ended. For who calls every few seconds.
  std::vector<Note> due(Instant now);

  /// The sums of all that is open.
  std::vector<Note> finish(Instant now);

 private:
  struct Run {
    Note last;
    std::uint64_t repeated = 0;  // not written
    Instant began{};
  };
  using Runs = std::map<std::string, Run>;

  static void sum_up(const Run& run, Instant now, std::vector<Note>& sums);

  Runs runs_;  // by topic
};

}  // namespace postern::observe
