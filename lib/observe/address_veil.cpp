#include "observe/address_veil.h"

#include <algorithm>

#include "base/dns_name.h"
#include "base/text.h"
#include "tls/digest.h"

namespace postern::observe {

namespace {

constexpr std::size_t digest_digits = 12;
constexpr std::string_view escaped_quote = "\\x22";
constexpr std::string_view cut_mark = "...";  // of base's escaped()

bool is_alphanumeric(char c) { return is_digit(c) || is_alpha(c) || static_cast<unsigned char>(c) >= 0x80; }

/// RFC 5322's atext, dots, and the backslash of what was escaped.
bool is_local_part_octet(char c) {
  return is_alphanumeric(c) || std::string_view("!#$%&'*+-/=?^_`{|}~.\\").find(c) != std::string_view::npos;
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  c = to_lower_ascii(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool is_escape(std::string_view text) {
  return text.size() >= 4 && text[0] == '\\' && text[1] == 'x' && hex_value(text[2]) >= 0 && hex_value(text[3]) >= 0;
}

/// What base's escaped() made of it, undone.
std::string unescaped(std::string_view text) {
  std::string made;
  while (!text.empty()) {
    const bool escape = is_escape(text);
    made += escape ? static_cast<char>(hex_value(text[2]) * 16 + hex_value(text[3])) : text.front();
    text.remove_prefix(escape ? 4 : 1);
  }
  return made;
}

/// RFC 5321 section 4.1.2: a quoted local part means what stands between the quotes.
std::string unquoted(std::string_view local_part) {
  if (local_part.size() < 2 || local_part.front() != '"' || local_part.back() != '"') return std::string(local_part);
  std::string made;
  for (std::size_t i = 1; i + 1 < local_part.size(); ++i) {
    if (local_part[i] == '\\' && i + 2 < local_part.size()) ++i;
    made += local_part[i];
  }
  return made;
}

struct Parts {
  std::string local_part;
  std::string domain;
};

std::string_view without_brackets(std::string_view path) {
  if (path.starts_with('<')) path.remove_prefix(1);
  const auto close = path.rfind('>');
  return close == std::string_view::npos ? path : path.substr(0, close);
}

Parts parts_of(std::string_view address) {
  address = without_brackets(address);
  const auto at = address.rfind('@');
  if (at == std::string_view::npos) return {unquoted(address), {}};
  return {unquoted(address.substr(0, at)), std::string(address.substr(at + 1))};
}

/// The domain or address literal at the front of `text`; the dot that ends a sentence is not part of it.
std::string_view domain_at(std::string_view text) {
  std::size_t size = 0;
  if (text.starts_with('[')) {
    while (size < text.size() && (is_alphanumeric(text[size]) || std::string_view("[.:-_").find(text[size]) != std::string_view::npos)) ++size;
    return text.substr(0, size < text.size() && text[size] == ']' ? size + 1 : size);
  }
  while (size < text.size()) {
    if (is_escape(text.substr(size))) {  // of a U-label
      if (hex_value(text[size + 2]) < 8) break;
      size += 4;
    } else if (is_alphanumeric(text[size]) || text[size] == '.' || text[size] == '-' || text[size] == '_') {
      ++size;
    } else {
      break;
    }
  }
  while (size > 0 && text[size - 1] == '.') --size;
  return text.substr(0, size);
}

/// Where the local part begins that ends before `end`; not before `floor`.
std::size_t local_part_before(std::string_view text, std::size_t floor, std::size_t end) {
  const auto before = text.substr(floor, end - floor);
  if (before.ends_with(escaped_quote)) return floor + before.find(escaped_quote);
  std::size_t begin = end;
  if (before.ends_with('"')) {
    for (begin = end - 1; begin > floor;) {
      --begin;
      if (text[begin] == '"' && (begin == floor || text[begin - 1] != '\\')) break;
    }
    return begin;
  }
  while (begin > floor && is_local_part_octet(text[begin - 1])) --begin;
  return begin;
}

struct Sign {
  std::size_t begin = std::string_view::npos;
  std::size_t end = std::string_view::npos;
};

/// The next `@`, or what is left of one in a URL.
Sign next_sign(std::string_view text, std::size_t from) {
  const auto plain = text.find('@', from);
  const auto coded = text.substr(0, plain).find("%40", from);
  if (coded != std::string_view::npos) return {coded, coded + 3};
  return plain == std::string_view::npos ? Sign{} : Sign{plain, plain + 1};
}

/// In `\x0aalice` a word begins behind the escape.
bool word_may_begin_at(std::string_view text, std::size_t at) {
  if (at == 0 || !is_alphanumeric(text[at - 1])) return true;
  return at >= 4 && is_escape(text.substr(at - 4));
}

}  // namespace

std::string address_digest(const AddressKey& key, std::string_view address) {
  const auto [local_part, domain] = parts_of(address);
  std::string canonical = to_lower_ascii(local_part);
  if (!domain.empty()) {
    const auto name = DnsName::from_utf8(domain);
    canonical += '@' + (name ? name->text() : to_lower_ascii(domain));
  }
  const auto whole = tls::hmac_sha256({reinterpret_cast<const char*>(key.octets.data()), key.octets.size()}, canonical);
  return tls::hex({reinterpret_cast<const char*>(whole.data()), digest_digits / 2});
}

struct AddressVeil::Word {
  std::string text;
  std::string shown;
};

std::string AddressVeil::shown_local_part(std::string_view local_part, std::string_view domain) const {
  if (shown_ != Addresses::Hash || !key_) return "*";
  std::string address = unquoted(unescaped(local_part));
  if (!domain.empty()) address += '@' + unescaped(domain);
  return "hash:" + address_digest(*key_, address);
}

std::string AddressVeil::path(std::string_view raw) const {
  if (!hides()) return std::string(raw);
  const auto address = without_brackets(trimmed(raw));
  if (address.empty()) return "<>";
  const auto at = address.rfind('@');
  if (at == std::string_view::npos) return "<" + shown_local_part(address, {}) + ">";
  const auto domain = domain_at(address.substr(at + 1));
  return "<" + shown_local_part(address.substr(0, at), domain) + "@" + std::string(domain) + ">";
}

std::string AddressVeil::text(std::string_view raw, std::span<const std::string> known) const {
  if (!hides()) return std::string(raw);
  const auto words = words_of(known);
  std::string made;
  std::size_t done = 0;
  for (auto sign = next_sign(raw, 0); sign.begin != std::string_view::npos; sign = next_sign(raw, sign.end)) {
    if (sign.begin < done) continue;
    const auto begin = local_part_before(raw, done, sign.begin);
    if (begin == sign.begin) continue;  // of a source route, or nothing
    const auto domain = domain_at(raw.substr(sign.end));
    append_plain(made, raw.substr(done, begin - done), words);
    made += shown_local_part(raw.substr(begin, sign.begin - begin), domain);
    made += '@';
    made += domain;
    done = sign.end + domain.size();
  }
  append_plain(made, raw.substr(done), words);
  // The word that a text was cut in may be the beginning of an address.
  if (raw.ends_with(cut_mark) && made.ends_with(cut_mark)) {
    const auto gap = made.find_last_of(" <(:\"", made.size() - cut_mark.size() - 1);
    made.replace(gap == std::string::npos ? 0 : gap + 1, std::string::npos, cut_mark);
  }
  return made;
}

std::vector<AddressVeil::Word> AddressVeil::words_of(std::span<const std::string> known) const {
  std::vector<Word> words;
  for (const std::string& address : known) {
    const auto [local_part, domain] = parts_of(address);
    const auto shown = shown_local_part(local_part, domain);
    const auto add = [&words, &shown](std::string_view word) {
      if (!word.empty()) words.push_back({std::string(word), shown});
    };
    add(local_part);
    if (const auto again = escaped(local_part); again != local_part) add(again);
    const auto plus = local_part.find('+');  // a backend may name the mailbox, or the folder
    if (plus == std::string::npos) continue;
    add(std::string_view(local_part).substr(0, plus));
    add(std::string_view(local_part).substr(plus + 1));
  }
  return words;
}

void AddressVeil::append_plain(std::string& made, std::string_view plain, const std::vector<Word>& words) {
  std::size_t at = 0;
  while (at < plain.size()) {
    const auto found = std::find_if(words.begin(), words.end(), [&plain, at](const Word& word) {
      if (!starts_with_ignoring_case(plain.substr(at), word.text)) return false;
      const auto end = at + word.text.size();
      return word_may_begin_at(plain, at) && (end == plain.size() || !is_alphanumeric(plain[end]));
    });
    if (found == words.end()) {
      made += plain[at++];
    } else {
      made += found->shown;
      at += found->text.size();
    }
  }
}

}  // namespace postern::observe
