// Runs a dialogue with `option backend`: a session that is passed through, and the dialogue plays client and backend.
#pragma once

#include <string>

#include "tests/transcripts/dialogue.h"
#include "tests/transcripts/runner.h"

namespace postern::transcripts {

/// See differences() in runner.h.
std::string relay_differences(const Dialogue& dialogue, Cut cut);

}  // namespace postern::transcripts
