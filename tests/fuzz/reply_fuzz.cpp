// Invariant: however the bytes of a peer are cut, the same replies come of them, each is fit to be shown to a client,
// and rendering one and reading it again gives it back.
#include "smtp/reply.h"

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

struct Heard {
  std::vector<smtp::Reply> replies;
  bool failed = false;
};

void hear(smtp::ReplyParser& parser, std::string_view bytes, Heard& heard) {
  if (heard.failed) return;
  parser.receive(bytes);
  for (;;) {
    auto reply = parser.next();
    heard.failed = !reply;
    if (!reply || !*reply) return;
    heard.replies.push_back(std::move(**reply));
  }
}

void check_round_trip(const smtp::Reply& reply) {
  constexpr std::size_t cut_free_octets = 400;  // render() cuts longer lines
  for (const auto line : split(reply.text, '\n')) {
    if (line.size() > cut_free_octets) return;
  }
  smtp::ReplyParser parser;
  Heard heard;
  hear(parser, render(reply), heard);
  require(!heard.failed && heard.replies.size() == 1 && heard.replies.front() == reply);
  require(parser.pending() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Heard whole;
  smtp::ReplyParser parser;
  hear(parser, bytes, whole);

  Heard cut;
  smtp::ReplyParser cut_parser;
  for (const char& byte : bytes) hear(cut_parser, {&byte, 1}, cut);
  require(cut.replies == whole.replies && cut.failed == whole.failed);

  for (const auto& reply : whole.replies) {
    require(reply.code >= 200 && reply.code <= 599);
    require(std::none_of(reply.text.begin(), reply.text.end(),
                         [](char c) { return c != '\n' && c != '\t' && (c < 0x20 || c == 0x7f); }));
    check_round_trip(reply);
  }
  return 0;
}
