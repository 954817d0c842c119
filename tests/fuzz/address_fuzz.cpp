// Invariant: a mailbox that is read is UTF-8, and is the same after it was written and read again.
#include <cstdlib>

#include "smtp/address.h"

using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const Mailbox& mailbox) {
  require(is_utf8(mailbox.local_part) && is_utf8(mailbox.domain));
  require(mailbox.needs_smtputf8() || mailbox.text().find_first_of("\r\n") == std::string::npos);
  require(parse_mailbox(mailbox.text()) == mailbox);
  require(mailbox.domain_name().has_value() != is_address_literal(mailbox.domain));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto mailbox = parse_mailbox(text)) check(*mailbox);
  for (const auto tolerance : {Tolerance::Strict, Tolerance::Forgiving}) {
    std::string_view rest = text;
    if (const auto path = take_reverse_path(rest, tolerance); path && path->mailbox) check(*path->mailbox);
    rest = text;
    if (const auto path = take_forward_path(rest, tolerance); path && !path->is_bare_postmaster()) check(path->mailbox);
  }
  return 0;
}
