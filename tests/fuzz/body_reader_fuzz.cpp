// Invariant: however the input is cut, the end of data is the first CRLF.CRLF, what is given out is the same and holds
// no lone CR, no lone LF and no NUL.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <string>

#include "smtp/body_reader.h"

using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

struct Outcome {
  std::string text;
  std::size_t used = 0;
  std::optional<BodyReader::Fault> fault;
  bool at_end = false;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome read(const BodyRules& rules, std::string_view bytes, std::size_t step) {
  BodyReader reader(rules);
  Outcome outcome;
  std::string waiting;
  std::size_t shown = 0;
  while (shown < bytes.size() && !reader.at_end()) {
    const auto piece = bytes.substr(shown, step);
    shown += piece.size();
    waiting += piece;
    std::string_view input = waiting;
    for (auto out = reader.read(input); !out.empty(); out = reader.read(input)) outcome.text += out;
    waiting = std::string(input);
    require(reader.at_end() || waiting.size() <= 3);
  }
  outcome.used = shown - waiting.size();
  outcome.fault = reader.fault();
  outcome.at_end = reader.at_end();
  if (outcome.fault) outcome.text.clear();  // how much came out before the fault was known depends on the cut
  return outcome;
}

void check_clean(std::string_view text) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    require(text[at] != '\0');
    if (text[at] == '\n') require(at > 0 && text[at - 1] == '\r');
    if (text[at] == '\r') require(at + 1 == text.size() || text[at + 1] == '\n');
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  BodyRules rules;
  rules.smuggling = (data[0] & 1) != 0 ? Smuggling::Normalize : Smuggling::Reject;
  rules.message_octets_max = (data[0] & 2) != 0 ? 100 : 1'000'000;
  rules.text_line_octets_max = (data[0] & 4) != 0 ? 50 : 0;
  const std::size_t step = 1 + data[1] % 16;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  const auto whole = read(rules, bytes, std::max<std::size_t>(bytes.size(), 1));
  require(read(rules, bytes, step) == whole);
  check_clean(whole.text);
  const auto end = ("\r\n" + std::string(bytes)).find("\r\n.\r\n");
  require(whole.at_end == (end != std::string::npos));
  if (whole.at_end) require(whole.used == end + 3);
  return 0;
}
