// The recipients of a backend as a file lists them: text → a compact immutable set. No file I/O.
//
// One entry a line: `user` (at every domain of the backend), `user@domain`, or `@domain` (everybody there). Empty lines
// and those that begin with `#` do not count, and nothing counts behind the first blank, so that a source file of
// Postfix's relay_recipient_maps can be used as it is. Local parts are written as in a command: quoted where they
// must be.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "delivery/settings.h"
#include "smtp/address.h"

namespace postern::delivery {

class UserList {
 public:
  /// `user+tag@domain` is there when it is listed whole, or when `user@domain` is; the same without domain; or when
  /// `@domain` is. `<postmaster>` without a domain is always there (RFC 5321 section 4.5.1).
  bool contains(const smtp::Mailbox& mailbox) const;

  std::size_t size() const { return size_; }
  std::size_t memory_octets() const { return text_.capacity() + slots_.capacity() * sizeof(slots_[0]); }

 private:
  friend class UserListParser;

  bool has(std::string_view key) const;
  std::size_t slot_of(std::string_view key) const;

  // The entries in canonical form, each behind the other and ended by a line feed: the local part, a NUL (neither can
  // hold one), the domain as A-labels in lower case.
  std::string text_;
  std::vector<std::uint32_t> slots_;  // where in text_ an entry begins, plus 1; 0: free. Probed linearly
  std::size_t size_ = 0;
  std::string delimiters_;
  UserFile::LocalPartCase local_part_case_ = UserFile::LocalPartCase::Ignored;
};

/// By name of the backend.
using UserLists = std::map<std::string, std::shared_ptr<const UserList>>;

struct ParsedUsers {
  std::shared_ptr<const UserList> list;  ///< null when there are errors
  std::vector<std::string> errors;       ///< `users.txt:7: ...`; the first ten
  std::vector<std::string> warnings;
};

/// Reads the whole text. One bad line makes it all bad: with half a list, mail to the other half would be refused. So
/// does an empty list.
ParsedUsers parse_user_list(std::string_view text, const UserFile& settings);

}  // namespace postern::delivery
