// `postern reload`: a running posternd reads its configuration and certificates anew.
#pragma once

#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"

namespace postern::tool {

/// What certificates with faults mean for the exit code.
enum class Faults { Fail, Accept };

struct ReloadArguments {
  std::string control;  ///< path of the control socket
  control::ReloadRequest request;
  Faults faults = Faults::Fail;
  Format format = Format::Text;
};

/// Returns the exit code: 1 when the configuration was not taken, or when a certificate has a fault and that counts.
int reload(const ReloadArguments& arguments);

/// What it prints as text.
std::string reload_text(const control::ReloadReply& reload);

}  // namespace postern::tool
