// The tool's end of the control socket. Blocking: for command-line programs only.
#pragma once

#include <string>

#include "base/instant.h"
#include "base/result.h"
#include "control/protocol.h"

namespace postern::session {

/// Asks the posternd that listens on the unix socket `path`. An error says what to do: nobody is listening, no
/// permission, no answer `within` the time, or an answer that is none.
Result<control::Reply> ask_control(const std::string& path, const control::Request& request, Duration within);

}  // namespace postern::session
