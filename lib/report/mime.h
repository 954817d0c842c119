// As much of MIME (RFC 2045, RFC 2046) as it takes to find an attachment in a mail.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace postern::report {

struct MimePart {
  std::string type;           ///< "application/tlsrpt+gzip", lower case
  std::string encoding;       ///< Content-Transfer-Encoding, lower case
  std::string_view body;      ///< still encoded

  /// Decoded; nothing when it is not base64, as it says.
  std::optional<std::string> decoded() const;
};

/// Visits the parts that are no multiparts, in order, until `visit` says that it has what it wants; true then. Parts more
/// than `mime_nesting_max` deep are passed over, and so is what stands behind the first `mime_parts_max`.
bool each_part(std::string_view mail, const std::function<bool(const MimePart&)>& visit);
constexpr unsigned mime_nesting_max = 8;
constexpr unsigned mime_parts_max = 100;

/// Whether this begins as a mail does: with a header field.
bool looks_like_mail(std::string_view octets);

}  // namespace postern::report
