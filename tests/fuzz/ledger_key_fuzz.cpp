// Invariant: the key of a message is the same however the message is cut; a field that a hop puts in front makes no other
// message if there is a Message-ID, and another one if there is none (the client's address counts likewise); one octet
// more at the end always makes another message once the header is over.
#include <algorithm>
#include <cstdlib>

#include "delivery/canonical_sender.h"
#include "delivery/ledger_key.h"

using namespace postern;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

delivery::MessageKey key_of(std::string_view message, std::size_t piece_octets, const char* client = "192.0.2.1") {
  delivery::MessageDigester digester;
  for (; !message.empty(); message.remove_prefix(std::min(piece_octets, message.size()))) {
    digester.receive(message.substr(0, piece_octets));
  }
  return digester.finish({}, "sender", *IpAddress::parse(client));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string message(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t piece_octets = 1 + data[0];
  const auto whole = key_of(message, message.size() + 1);
  require(key_of(message, piece_octets) == whole);

  const bool has_message_id = key_of(message, piece_octets, "198.51.100.1") == whole;
  // What begins with a continuation line would continue the new field.
  const bool may_have_field_before = message.empty() || (message[0] != ' ' && message[0] != '\t');
  if (may_have_field_before) require((key_of("Received: x\r\n" + message, piece_octets) == whole) == has_message_id);
  if (message.starts_with("\r\n") || message.find("\r\n\r\n") != std::string::npos) {
    require(key_of(message + "x", piece_octets) != whole);
  }

  if (const auto sender = smtp::parse_mailbox(message)) {
    const auto canonical = delivery::canonical_sender({sender});
    require(canonical.find('@') != std::string::npos && canonical.size() <= message.size());
  }
  return 0;
}
