// Invariant: what is read of XCLIENT attributes can be told on as one command line that holds no control character, and
// is read back from it unchanged.
#include "proxy/client_identity.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text.h"

using namespace postern;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto decoded = proxy::from_xtext(proxy::xtext(bytes));
  require(decoded == bytes);

  proxy::ClientIdentity identity;
  if (!proxy::read_attributes(bytes, proxy::xclient_attributes, identity)) return 0;
  const auto command = proxy::xclient_command(identity, split(proxy::xclient_attributes, ' '));
  require(command.has_value() == identity.address.has_value());
  if (!command) return 0;
  require(std::all_of(command->begin(), command->end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  proxy::ClientIdentity again;
  require(proxy::read_attributes(std::string_view(*command).substr(8), proxy::xclient_attributes, again).has_value());
  require(again == identity);
  return 0;
}
