// `postern sessions`: who is connected, and what for.
#pragma once

#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"

namespace postern::tool {

struct SessionsArguments {
  std::string control;  ///< path of the control socket
  control::SessionsRequest request;
  bool watch = false;   ///< again and again, until it is interrupted
  Format format = Format::Text;
};

/// Returns the exit code.
int sessions(const SessionsArguments& arguments);

/// What it prints as text: a table with a line for each session.
std::string sessions_text(const control::SessionsReply& reply);

}  // namespace postern::tool
