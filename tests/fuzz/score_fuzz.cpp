// Whatever stands behind a right check sum in the file of the score is refused with a reason, or is a score that is
// written and read again unchanged, and that goes on counting; nothing throws. (The first line is made here: no fuzzer finds
// a check sum.)
#include <cstdint>
#include <cstdlib>
#include <string>

#include <fmt/format.h>

#include "report/score.h"

using namespace postern;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string with_check_sum(std::string_view body) {
  std::uint64_t sum = 0xcbf29ce484222325u;
  for (const char c : body) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return fmt::format("postern-score 1 {:016x}\n{}\n", sum, body);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const report::ScoreSettings settings{.senders_max = 20};
  auto read = report::Score::from_text(with_check_sum(body), settings);
  if (!read) {
    require(!read.error().text.empty());
    return 0;
  }
  const auto again = report::Score::from_text(read->to_text(), settings);
  require(again.has_value());
  require(again->senders() == read->senders() && again->failures() == read->failures());
  report::SessionFacts facts;
  facts.time = WallTime{std::chrono::seconds(1'795'392'000)};
  facts.handshake.emplace();
  read->add(facts);
  return 0;
}
