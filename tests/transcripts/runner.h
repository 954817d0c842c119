// Runs a dialogue against a ServerSession and plays the application behind it.
#pragma once

#include <cstdint>
#include <string>

#include "tests/transcripts/dialogue.h"

namespace postern::transcripts {

/// How the client's bytes are cut into segments.
struct Cut {
  enum class Kind { Whole, EachByte, Random };
  Kind kind = Kind::Whole;
  std::uint32_t seed = 0;
};

/// When the application answers what it is asked.
enum class Answering {
  AtOnce,
  LateLastFirst,  ///< when the session can do nothing more, and the newest question first
};

/// Everything that differs from what the dialogue says, in readable lines; empty when nothing does.
std::string differences(const Dialogue& dialogue, Cut cut, Answering answering);

/// Runs the dialogue of that file in every cut and manner of answering, and fails the current test case if one differs.
void run_file(const std::string& path);

}  // namespace postern::transcripts
