// What MAIL and RCPT carry behind the path: values, and how they are read. Everything that a backend leg has to say again
// is here; who may offer which of it is the session's business (Extensions).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "smtp/extensions.h"
#include "smtp/replies.h"

namespace postern::smtp {

/// What MAIL carried behind the path.
struct MailParameters {
  enum class Body { SevenBit, EightBitMime, BinaryMime };
  enum class Return { Full, Headers };

  Body body = Body::SevenBit;         ///< RFC 6152, RFC 3030 section 3
  std::optional<std::uint64_t> size = {};  ///< RFC 1870
  bool smtputf8 = false;              ///< RFC 6531
  bool require_tls = false;           ///< RFC 8689
  bool prdr = false;                  ///< draft-hall-prdr: the client takes a reply for each recipient
  std::optional<Return> ret = {};     ///< RET, RFC 3461 section 4.3
  std::string envid = {};  ///< ENVID, RFC 3461 section 4.4: in xtext as it was given, ready to be said again; empty: none

  friend bool operator==(const MailParameters&, const MailParameters&) = default;
};

/// NOTIFY, RFC 3461 section 4.1. Nothing at all is NEVER.
struct Notify {
  bool success = false;
  bool failure = false;
  bool delay = false;

  /// `NEVER`, or `SUCCESS,FAILURE,DELAY` as far as they are wanted.
  std::string text() const;
  friend bool operator==(const Notify&, const Notify&) = default;
};

/// What RCPT carried behind the path.
struct RecipientParameters {
  std::optional<Notify> notify = {};
  std::string orcpt = {};  ///< ORCPT, RFC 3461 section 4.2 and RFC 6533 section 3: `rfc822;` and xtext as given; empty: none

  friend bool operator==(const RecipientParameters&, const RecipientParameters&) = default;
};

/// What a line means, or the reply that refuses it.
template <class T>
using Parsed = tl::expected<T, NamedReply>;

/// An ESMTP parameter (RFC 5321 section 4.1.2, esmtp-param).
struct Parameter {
  std::string_view keyword;
  std::optional<std::string_view> value;

  bool is(std::string_view name) const;
};

/// What stands behind a path, blanks in front included, when others will judge what it means.
Parsed<std::vector<Parameter>> split_parameters(std::string_view text);

/// Reads what stands behind the path of MAIL, blanks in front included. SIZE and BODY are always taken (they are when
/// the client said HELO, too); what else is known is what is offered.
Parsed<MailParameters> parse_mail_parameters(std::string_view text, const Extensions& offered);

/// Whether an ORCPT may hold UTF-8 (RFC 6533 section 3): in a transaction with SMTPUTF8 only.
enum class AddressCharset { Ascii, Utf8 };

/// Reads what stands behind the path of RCPT.
Parsed<RecipientParameters> parse_recipient_parameters(std::string_view text, const Extensions& offered,
                                                       AddressCharset charset);

/// RFC 3461 section 4: the meaning of xtext; nothing when it is malformed.
std::optional<std::string> decode_xtext(std::string_view text);

}  // namespace postern::smtp
