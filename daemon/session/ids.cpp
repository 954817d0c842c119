#include "daemon/session/ids.h"

#include <algorithm>
#include <chrono>
#include <string_view>

namespace postern::session {

std::string IdSource::next() {
  using namespace std::chrono;
  const auto now = static_cast<std::uint64_t>(
      duration_cast<microseconds>(system_clock::now().time_since_epoch()).count());
  last_ = std::max(now, last_ + 1);

  // 32 characters without I, L, O and U: they are read aloud on the telephone.
  constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::string id;
  for (std::uint64_t rest = last_; rest != 0; rest >>= 5) id += alphabet[rest & 31];
  std::reverse(id.begin(), id.end());
  unsigned worker = worker_;
  do {
    id += alphabet[worker & 31];
  } while ((worker >>= 5) != 0);
  return id;
}

}  // namespace postern::session
