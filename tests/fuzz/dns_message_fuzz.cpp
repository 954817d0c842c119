// Invariant: whatever the bytes are, each kind of answer is read in time that follows their number, ends in an answer or in
// a sentence, and every host name in it is one.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dns/message.h"
#include "dns/zone.h"

using namespace postern;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  for (const auto type : {dns::Type::A, dns::Type::Aaaa, dns::Type::Mx, dns::Type::Txt, dns::Type::Tlsa}) {
    const auto answer = dns::read_answer(message, type);
    if (!answer) {
      if (answer.error().text.empty()) std::abort();
      continue;
    }
    for (const auto& mx : answer->mx) {
      if (mx.host && DnsName::parse(mx.host->text()) != mx.host) std::abort();
    }
    for (const auto& text : answer->txt) {
      for (const char c : dns::text_data(text)) {
        if (c < ' ' || c > '~') std::abort();
      }
    }
  }
  return 0;
}
