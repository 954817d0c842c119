// Whether this is a build with a sanitizer: they do what no part of posternd does.
#pragma once

namespace postern {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool address_sanitizer = true;
inline constexpr bool thread_sanitizer = false;
#elif defined(__SANITIZE_THREAD__)
inline constexpr bool address_sanitizer = false;
inline constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
inline constexpr bool address_sanitizer = __has_feature(address_sanitizer);
inline constexpr bool thread_sanitizer = __has_feature(thread_sanitizer);
#else
inline constexpr bool address_sanitizer = false;
inline constexpr bool thread_sanitizer = false;
#endif

}  // namespace postern
