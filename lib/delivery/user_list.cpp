#include "delivery/user_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <optional>

#include "base/text.h"

namespace postern::delivery {

namespace {

constexpr std::size_t line_octets_max = 1000;  // an address has 320 at most (RFC 5321 section 4.5.3.1), quoting apart
constexpr std::size_t errors_max = 10;         // a file that is no list at all should not fill the screen
constexpr char domain_follows = '\0';
constexpr char entry_ends = '\n';

std::string key_of(std::string_view local_part, std::string_view domain) {
  std::string key;
  key.reserve(local_part.size() + 1 + domain.size());
  key += local_part;
  key += domain_follows;
  key += domain;
  return key;
}

std::string canonical(std::string_view local_part, UserFile::LocalPartCase local_part_case) {
  return local_part_case == UserFile::LocalPartCase::Ignored ? to_lower_ascii(local_part) : std::string(local_part);
}

/// What stands before the first blank that is not inside quotes.
std::string_view first_word(std::string_view line) {
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && (line[i] == ' ' || line[i] == '\t')) {
      return line.substr(0, i);
    }
  }
  return line;
}

}  // namespace

// --- the set ---

std::size_t UserList::slot_of(std::string_view key) const {
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t slot = std::hash<std::string_view>()(key) & mask;; slot = (slot + 1) & mask) {
    if (slots_[slot] == 0) return slot;
    const auto rest = std::string_view(text_).substr(slots_[slot] - 1);
    if (rest.size() > key.size() && rest[key.size()] == entry_ends && rest.starts_with(key)) return slot;
  }
}

bool UserList::has(std::string_view key) const { return slots_[slot_of(key)] != 0; }

bool UserList::contains(const smtp::Mailbox& mailbox) const {
  if (mailbox.domain.empty() && equals_ignoring_case(mailbox.local_part, "postmaster")) return true;
  const auto name = mailbox.domain_name();
  const std::string domain = name ? name->text() : std::string();
  const std::string whole = canonical(mailbox.local_part, local_part_case_);
  const auto listed = [&](std::string_view local_part) {
    return (name && has(key_of(local_part, domain))) || has(key_of(local_part, {}));
  };
  if (listed(whole)) return true;
  // A delimiter at the front begins no extension: nothing would be left of the user.
  const auto extension = whole.find_first_of(delimiters_, 1);
  if (extension != std::string::npos && listed(std::string_view(whole).substr(0, extension))) return true;
  return name && has(key_of({}, domain));
}

// --- the text ---

class UserListParser {
 public:
  explicit UserListParser(const UserFile& settings) : settings_(settings), made_(std::make_shared<UserList>()) {
    made_->delimiters_ = settings.delimiters;
    made_->local_part_case_ = settings.local_part_case;
  }

  ParsedUsers parse(std::string_view text) {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max()) {
      error("has 4 GiB or more, which is more than a list of users can have");
      return std::move(parsed_);
    }
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // the mark with which some editors begin UTF-8
    // So many at most. Three quarters of the slots are used at most.
    const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
    made_->slots_.resize(std::bit_ceil(lines + lines / 3 + 2));
    made_->text_.reserve(text.size() + 2 * lines);
    while (!text.empty() && parsed_.errors.size() < errors_max) {
      ++line_number_;
      const auto end = text.find('\n');
      read(text.substr(0, end));
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    finish();
    return std::move(parsed_);
  }

 private:
  void read(std::string_view line) {
    if (line.find('\0') != std::string_view::npos) return error("holds a NUL octet: this is no text");
    if (line.size() > line_octets_max) return error(fmt::format("has more than {} octets", line_octets_max));
    line = first_word(trimmed(line));
    if (line.empty() || line.front() == '#') return;
    if (line.front() == '@') return add({}, line.substr(1), line);
    if (const auto mailbox = smtp::parse_mailbox(line)) return add(mailbox->local_part, mailbox->domain, line);
    // Whether it is a local part alone, the grammar of mailboxes knows.
    if (const auto alone = smtp::parse_mailbox(fmt::format("{}@a", line))) return add(alone->local_part, std::nullopt, line);
    bad(line);
  }

  void add(std::string_view local_part, std::optional<std::string_view> domain, std::string_view written) {
    std::string_view name;
    if (domain) {
      // Neighbours mostly have the same domain.
      if (*domain != last_domain_ || domain->empty()) {
        const auto parsed = DnsName::from_utf8(*domain);
        if (!parsed) return bad(written);
        last_domain_ = *domain;
        last_name_ = parsed->text();
      }
      name = last_name_;
    }
    const std::string key = key_of(canonical(local_part, settings_.local_part_case), name);
    const std::size_t slot = made_->slot_of(key);
    if (made_->slots_[slot] != 0) {
      if (duplicates_++ == 0) first_duplicate_ = line_number_;
      return;
    }
    made_->slots_[slot] = static_cast<std::uint32_t>(made_->text_.size() + 1);
    made_->text_ += key;
    made_->text_ += entry_ends;
    ++made_->size_;
  }

  void bad(std::string_view written) {
    error(fmt::format("\"{}\" is neither a user, nor user@domain, nor @domain", escaped(written, 80)));
  }

  void error(std::string_view text) {
    parsed_.errors.push_back(line_number_ == 0 ? fmt::format("{}: {}", settings_.path, text)
                                               : fmt::format("{}:{}: {}", settings_.path, line_number_, text));
  }

  void finish() {
    if (!parsed_.errors.empty()) return;
    if (made_->size_ == 0) {
      line_number_ = 0;
      return error("lists nobody, so that every recipient would be refused; write \"@domain\" to take everybody");
    }
    if (duplicates_ > 0) {
      parsed_.warnings.push_back(fmt::format("{}:{}: this entry stands there already ({} such lines in all)",
                                             settings_.path, first_duplicate_, duplicates_));
    }
    made_->text_.shrink_to_fit();
    parsed_.list = std::move(made_);
  }

  const UserFile& settings_;
  std::shared_ptr<UserList> made_;
  ParsedUsers parsed_;
  std::size_t line_number_ = 0;
  std::size_t duplicates_ = 0;
  std::size_t first_duplicate_ = 0;
  std::string last_domain_;
  std::string last_name_;
};

ParsedUsers parse_user_list(std::string_view text, const UserFile& settings) {
  return UserListParser(settings).parse(text);
}

}  // namespace postern::delivery
