// Invariant: whatever stands in front of a connection, a PROXY header takes no octet more than its own, is decided the
// same however its bytes are cut, and what it says can be said again in both versions and is read back unchanged.
#include "proxy/header.h"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace postern;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

proxy::Header read_back(const std::string& rendered) {
  std::string_view input = rendered;
  auto again = proxy::take_header(input);
  require(again.has_value() && again->has_value() && input.empty());
  return std::move(**again);
}

void check_rendering(const proxy::Header& header) {
  const std::string v1 = proxy::render_v1(header);
  require(v1.size() <= proxy::header_v1_octets_max);
  const bool local = header.command == proxy::Header::Command::Local;
  require(local || read_back(v1).source == header.source);
  for (const std::size_t octets_max : {52u, 232u, 536u}) {
    const std::string v2 = proxy::render_v2(header, octets_max);
    require(v2.size() <= octets_max);
    const auto again = read_back(v2);
    require(again.source == header.source && again.destination == header.destination);
  }
  constexpr std::size_t whatever_octets = 2 * proxy::header_octets_max;
  if (const auto all = proxy::render_v2(header, whatever_octets); all.size() <= proxy::header_octets_max) {
    require(read_back(all) == header);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string_view rest = bytes;
  const auto whole = proxy::take_header(rest);
  const bool taken = whole.has_value() && whole->has_value();
  require(taken || rest == bytes);
  const auto used = bytes.size() - rest.size();
  for (std::size_t shown = 0; shown < used; ++shown) {
    std::string_view front = bytes.substr(0, shown);
    const auto early = proxy::take_header(front);
    require(early.has_value() && !early->has_value());
  }
  if (taken) check_rendering(**whole);
  return 0;
}
