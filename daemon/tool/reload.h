// `postern reload`: a running posternd reads its configuration and certificates anew.
#pragma once

#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"

namespace postern::tool {

struct ReloadArguments {
  std::string control;  ///< path of the control socket
  control::ReloadRequest request;
  Format format = Format::Text;
};

/// Returns the exit code: 1 when the configuration was not taken, or when something in it has a fault.
int reload(const ReloadArguments& arguments);

/// What it prints as text.
std::string reload_text(const control::ReloadReply& reload);

}  // namespace postern::tool
