// `postern drain`, `postern undrain`, `postern log`: what changes a running posternd until it is changed back.
#pragma once

#include <string>

#include "control/protocol.h"
#include "daemon/tool/output.h"

namespace postern::tool {

struct SteerArguments {
  std::string control;  ///< path of the control socket
  Format format = Format::Text;
};

// Each returns the exit code.
int drain(const SteerArguments& arguments);
int undrain(const SteerArguments& arguments);
/// An empty level: only says which it is.
int log_level(const SteerArguments& arguments, const std::string& level);

}  // namespace postern::tool
