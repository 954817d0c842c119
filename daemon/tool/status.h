// `postern status`: how a running posternd is.
#pragma once

#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"

namespace postern::tool {

struct StatusArguments {
  std::string control;  ///< path of the control socket
  Format format = Format::Text;
};

/// Returns the exit code: 1 also when posternd runs with faults.
int status(const StatusArguments& arguments);

/// What it prints as text.
std::string status_text(const control::StatusReply& status);

}  // namespace postern::tool
