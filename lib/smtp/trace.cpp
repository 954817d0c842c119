#include "smtp/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace postern::smtp {

namespace {

constexpr std::size_t line_octets_wanted = 78;  // RFC 5322 section 2.1.1; the hard limit there is 998
constexpr std::size_t path_octets_max = 700;    // a longer one is left out, so that no line can pass the hard limit

/// Puts words into lines; a line is folded between words only.
class Folder {
 public:
  explicit Folder(std::string first) : text_(std::move(first)), column_(text_.size()) {}

  void add(std::string_view word) {
    const bool fits = column_ + 1 + word.size() <= line_octets_wanted;
    text_ += fits ? " " : "\r\n\t";
    text_ += word;
    column_ = (fits ? column_ : 0) + 1 + word.size();
  }

  /// Glues `mark` to the last word.
  void punctuate(char mark) {
    text_ += mark;
    ++column_;
  }

  std::string finish() && { return std::move(text_) + "\r\n"; }

 private:
  std::string text_;
  std::size_t column_;
};

std::string literal(const IpAddress& address) {
  return fmt::format("[{}{}]", address.is_v4() ? "" : "IPv6:", address.text());
}

/// Fit for the from clause as it is: a host name, or an address literal in which nothing can end a clause.
bool is_plain_client_name(std::string_view name) {
  if (DnsName::parse(name)) return true;
  const auto is_plain = [](char c) {
    return is_alpha(c) || is_digit(c) || std::string_view("[].:-").find(c) != std::string_view::npos;
  };
  return is_address_literal(name) && std::all_of(name.begin(), name.end(), is_plain);
}

bool is_safe_path(std::string_view path) {
  const auto breaks = [](char c) { return (c >= 0 && c < 0x20) || c == 0x7f; };
  return path.size() <= path_octets_max && std::none_of(path.begin(), path.end(), breaks);
}

void add_client(Folder& folder, const TraceFacts& facts) {
  folder.add("from");
  if (is_plain_client_name(facts.client_name)) {
    folder.add(facts.client_name);
    if (!facts.client_dns_name.empty()) folder.add('(' + facts.client_dns_name);
    folder.add((facts.client_dns_name.empty() ? "(" : "") + literal(facts.client_address) + ')');
  } else {
    folder.add(literal(facts.client_address));
    if (!facts.client_dns_name.empty()) folder.add('(' + facts.client_dns_name);
    folder.add(facts.client_dns_name.empty() ? "(HELO" : "HELO");
    folder.add(escaped(facts.client_name) + ')');
  }
}

/// The clause of RFC 8314 section 4.3 stands behind all others, as RFC 5321 section 4.4 wants it of an additional
/// clause; the version and the server name have no clause and stand in a comment.
void add_tls(Folder& folder, const TraceFacts& facts) {
  if (facts.tls_version.empty()) return;
  folder.add("tls");
  folder.add(escaped(facts.tls_cipher));
  folder.add('(' + escaped(facts.tls_version) + ',');
  folder.add(facts.server_name.empty() ? "no" : "SNI");
  folder.add(facts.server_name.empty() ? "SNI)" : escaped(facts.server_name) + ')');
}

}  // namespace

std::string received_field(const TraceFacts& facts) {
  Folder folder("Received:");
  add_client(folder, facts);
  folder.add("by");
  folder.add(facts.by);
  folder.add("with");
  folder.add(facts.protocol);
  folder.add("id");
  folder.add(facts.transaction);
  if (facts.for_path && is_safe_path(facts.for_path->text())) {
    folder.add("for");
    folder.add(facts.for_path->text());
  }
  add_tls(folder, facts);
  folder.punctuate(';');
  folder.add(rfc5322_date(facts.time));
  return std::move(folder).finish();
}

}  // namespace postern::smtp
