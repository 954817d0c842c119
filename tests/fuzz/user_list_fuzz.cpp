// Invariant: a text is either refused with reasons or becomes a list; then every mailbox that stands in it is in the list,
// whatever the case and the extension where these do not count, and the same lines in reverse make a list that knows the
// same mailboxes.
#include "delivery/user_list.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

using namespace postern;
using namespace postern::delivery;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

/// The first octet chooses the settings.
UserFile settings_from(char octet) {
  UserFile settings{.path = "users.txt"};
  if ((octet & 1) != 0) settings.local_part_case = UserFile::LocalPartCase::Counts;
  if ((octet & 2) != 0) settings.delimiters.clear();
  return settings;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return split(text, '\n');
}

std::string in_upper_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

void check_listed(const UserList& list, const UserFile& settings, smtp::Mailbox mailbox) {
  require(list.contains(mailbox));
  mailbox.domain = in_upper_case(mailbox.domain);
  require(list.contains(mailbox));
  if (settings.local_part_case == UserFile::LocalPartCase::Ignored) {
    mailbox.local_part = in_upper_case(mailbox.local_part);
    require(list.contains(mailbox));
  }
  // An extension behind an extension is one of what stands before the first.
  const bool has_extension = mailbox.local_part.find('+') != std::string::npos;
  if (!settings.delimiters.empty() && !has_extension) {
    mailbox.local_part += "+extension";
    require(list.contains(mailbox));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const UserFile settings = settings_from(text.front());
  text.remove_prefix(1);
  const ParsedUsers parsed = parse_user_list(text, settings);
  require(parsed.errors.empty() == (parsed.list != nullptr));
  if (!parsed.list) return 0;
  require(parsed.list->size() > 0);

  auto lines = lines_of(text);
  std::vector<smtp::Mailbox> named;
  std::string reversed = "# the mark of UTF-8 counts in the first line only\n";
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    reversed += std::string(*line) + '\n';
    if (line->find('"') != std::string_view::npos) continue;  // where words end there, the parser alone knows
    const auto whole = trimmed(*line);
    const auto word = whole.substr(0, whole.find_first_of(" \t"));
    if (word.starts_with('#')) continue;
    if (auto mailbox = smtp::parse_mailbox(word)) named.push_back(std::move(*mailbox));
  }
  const ParsedUsers again = parse_user_list(reversed, settings);
  require(again.list != nullptr && again.list->size() == parsed.list->size());
  for (const auto& mailbox : named) {
    check_listed(*parsed.list, settings, mailbox);
    check_listed(*again.list, settings, mailbox);
  }
  const smtp::Mailbox stranger{"nobody-has-this-name", "elsewhere.invalid"};
  require(parsed.list->contains(stranger) == again.list->contains(stranger));
  return 0;
}
