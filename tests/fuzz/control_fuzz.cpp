// Whatever stands on the control socket is refused with a reason, or is a message that survives being written and read
// again unchanged; nothing throws.
#include <cstdlib>

#include "control/protocol.h"

using namespace postern;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  if (const auto request = control::parse_request(line)) {
    const std::string written = control::to_json(*request);
    require(control::to_json(control::parse_request(written).value()) == written);
  } else {
    require(!request.error().text.empty());
  }
  if (const auto reply = control::parse_reply(line)) {
    const std::string written = control::to_json(*reply);
    require(control::to_json(control::parse_reply(written).value()) == written);
  } else {
    require(!reply.error().text.empty());
  }
  return 0;
}
