// Invariant: however a message is cut, the same of it goes on; what goes on is what came without whole fields, and
// nothing more is taken out of it a second time; and what is held back is bounded.
//
// The first octet chooses the cut, the rest is the message.
#include "smtp/authentication_results.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Passed {
  std::string text;
  std::size_t dropped = 0;
  friend bool operator==(const Passed&, const Passed&) = default;
};

Passed filtered(std::string_view message, std::size_t step) {
  AuthenticationResultsFilter filter({"mx.example"});
  Passed passed;
  std::size_t shown = 0;
  while (!message.empty()) {
    auto piece = message.substr(0, step);
    message.remove_prefix(piece.size());
    shown += piece.size();
    for (auto part = filter.read(piece); !part.empty(); part = filter.read(piece)) passed.text += part;
    require(piece.empty());
    const auto held_max = filter.fields_dropped() == 0 ? AuthenticationResultsFilter::held_octets_max : shown;
    require(shown - passed.text.size() <= held_max);
  }
  passed.text += filter.finish();
  passed.dropped = filter.fields_dropped();
  return passed;
}

bool is_subsequence(std::string_view part, std::string_view whole) {
  for (const char c : whole) {
    if (part.starts_with(c)) part.remove_prefix(1);
  }
  return part.empty();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view message(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = filtered(message, std::max<std::size_t>(message.size(), 1));
  require(filtered(message, 1 + data[0] % 32) == whole);
  require(filtered(message, 1) == whole);
  require(is_subsequence(whole.text, message));
  if (whole.dropped == 0) require(whole.text == message);
  require(filtered(whole.text, 7) == Passed{whole.text, 0});
  return 0;
}
