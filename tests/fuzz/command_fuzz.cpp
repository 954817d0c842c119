// Invariant: a command that is understood holds no control character, and a path in it, written anew, reads back
// strictly as the same path; what goes on of its parameters holds no blank and no control character, not even hidden.
#include <cstdlib>

#include "smtp/command.h"

using namespace postern::smtp;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_path_text(std::string_view text) {
  for (const char c : text) require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

/// A parameter's value that a backend will be sent again.
void check_value(std::string_view value) {
  for (const char c : value) require(c != ' ' && c != '=' && static_cast<unsigned char>(c) > 0x20 && c != 0x7f);
  if (const auto meaning = decode_xtext(value)) check_path_text(*meaning);
}

void check(std::string_view argument, const Grammar& grammar) {
  if (const auto mail = parse_mail(argument, grammar)) {
    const auto text = mail->from.text();
    check_path_text(text);
    std::string_view rest = text;
    require(take_reverse_path(rest, Tolerance::Strict) == mail->from && rest.empty());
    check_value(mail->parameters.envid);
  }
  if (const auto rcpt = parse_rcpt(argument, grammar)) {
    const auto text = rcpt->to.text();
    check_path_text(text);
    std::string_view rest = text;
    require(take_forward_path(rest, Tolerance::Strict) == rcpt->to && rest.empty());
    const std::string_view orcpt = rcpt->parameters.orcpt;
    check_value(orcpt);
    if (!orcpt.empty()) check_value(orcpt.substr(orcpt.find(';') + 1));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto command = parse_command_line(line);
  if (!command) return 0;
  check_path_text(std::string(line.substr(0, line.find('\t'))));
  Grammar grammar;
  grammar.offered = {true, true, true, true, true, true, true};
  grammar.charset = AddressCharset::Utf8;
  check(command->argument, grammar);
  grammar.tolerance = Tolerance::Strict;
  check(command->argument, grammar);
  if (const auto name = parse_hello(command->argument, Tolerance::Strict)) require(!name->empty());
  return 0;
}
