#include "delivery/ledger_key.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace postern::delivery {

namespace {

constexpr std::array<std::string_view, 4> field_names{"message-id", "from", "date", "subject"};
constexpr std::size_t message_id_field = 0;
constexpr std::size_t unhashed_octets_max = 512;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

LedgerDigest keyed(const LedgerSecret& secret, std::string_view bytes) {
  const std::string_view key(reinterpret_cast<const char*>(secret.octets.data()), secret.octets.size());
  const auto whole = tls::hmac_sha256(key, bytes);
  LedgerDigest cut;
  std::copy_n(whole.begin(), cut.size(), cut.begin());
  return cut;
}

/// No two lists of texts give the same octets.
void append_text(std::string& to, std::string_view text) {
  to += std::to_string(text.size());
  to += ':';
  to += text;
}

void append_digest(std::string& to, tls::Sha256& hash) {
  const auto digest = hash.finish();
  append_text(to, {reinterpret_cast<const char*>(digest.data()), digest.size()});
}

}  // namespace

EnvelopeKey envelope_key(const LedgerSecret& secret, std::string_view sender, const smtp::ForwardPath& to) {
  std::string text = "envelope ";
  append_text(text, sender);
  append_text(text, to.mailbox.local_part);
  append_text(text, to_lower_ascii(to.mailbox.domain));
  return {keyed(secret, text)};
}

void MessageDigester::receive(std::string_view bytes) {
  const auto all = bytes;
  std::size_t taken = 0;
  while (place_ != Place::Body && taken < bytes.size()) take_header_octet(bytes[taken++]);
  bytes.remove_prefix(taken);
  // Until the header has ended, the Message-ID may still come.
  const bool in_header = place_ != Place::Body;
  if (in_header || taken > 0 || !has_message_id_) whole_.update(all);
  if (!in_header && has_message_id_) body_.update(bytes);
}

// A line end is CRLF; what a BINARYMIME message holds besides counts like any octet.
void MessageDigester::take_header_octet(char c) {
  if (c == '\r') return;
  switch (place_) {
    case Place::LineStart:
      if (c == '\n') return end_header();
      if (is_blank(c)) {
        space_due_ = value_begun_;
        place_ = Place::Value;
        return;
      }
      flush_value();
      field_.reset();
      name_.clear();
      place_ = Place::Name;
      [[fallthrough]];
    case Place::Name:
      if (c == '\n') {
        place_ = Place::LineStart;
      } else if (c == ':') {
        begin_value();
      } else if (!is_blank(c) && name_.size() < name_octets_max) {
        name_ += to_lower_ascii(c);
      }
      return;
    case Place::Value:
      if (c == '\n') {
        place_ = Place::LineStart;
      } else if (is_blank(c)) {
        space_due_ = value_begun_;
      } else {
        add_to_value(c);
      }
      return;
    case Place::Body: return;
  }
}

void MessageDigester::begin_value() {
  place_ = Place::Value;
  value_begun_ = space_due_ = false;
  const auto found = std::find(field_names.begin(), field_names.end(), name_);
  if (found == field_names.end()) return;
  field_ = static_cast<std::size_t>(found - field_names.begin());
  value_ = '\n';  // two fields of one name are not one
}

void MessageDigester::add_to_value(char c) {
  if (!field_) return;
  if (space_due_) value_ += ' ';
  space_due_ = false;
  value_begun_ = true;
  value_ += c;
  if (*field_ == message_id_field) has_message_id_ = true;
  if (value_.size() >= unhashed_octets_max) flush_value();
}

void MessageDigester::flush_value() {
  if (field_) fields_[*field_].update(value_);
  value_.clear();
}

void MessageDigester::end_header() {
  flush_value();
  place_ = Place::Body;
}

MessageKey MessageDigester::finish(const LedgerSecret& secret, std::string_view sender, const IpAddress& client) {
  if (place_ != Place::Body) end_header();
  std::string text = "message ";
  append_text(text, sender);
  if (has_message_id_) {
    for (auto& field : fields_) append_digest(text, field);
    append_digest(text, body_);
  } else {
    append_text(text, client.text());
    append_digest(text, whole_);
  }
  return {keyed(secret, text)};
}

}  // namespace postern::delivery
