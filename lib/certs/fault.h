// What is wrong with a certificate source, in words for the operator.
#pragma once

#include <string>

namespace postern::certs {

/// File, names, what is wrong, and what is served meanwhile.
struct Fault {
  enum class Severity { Warning, Error };
  Severity severity = Severity::Error;
  std::string source;  ///< the file (or `file:line`) or `[[certificate]]` concerned
  std::string text;

  friend bool operator==(const Fault&, const Fault&) = default;
};

}  // namespace postern::certs
