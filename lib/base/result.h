// Failures are values. A function that can fail for a reason outside the program returns Result<T>; exceptions and
// asserts are for our own bugs.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace postern {

/// Why something failed, in one sentence that an operator can act on: it names the file, line, host name or peer,
/// what was wrong, and where possible what to do.
struct Error {
  std::string text;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return fail("{}: cannot be opened: {}", path, reason);`
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return tl::unexpected<Error>(Error{fmt::format(format, std::forward<Args>(args)...)});
}

/// Passes a failure on to a caller whose Result has another value type.
[[nodiscard]] inline tl::unexpected<Error> fail_with(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace postern
