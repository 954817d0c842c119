#include "daemon/session/state_file.h"

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

namespace postern::session {

Result<std::string> read_state_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return fail("{}: it cannot be read: {}", path, std::generic_category().message(errno));
  // In pieces: a string made for all of it would fill 100 MB with zeros first.
  std::vector<char> piece(256 * 1024);
  std::string octets;
  octets.reserve(static_cast<std::size_t>(std::max<std::streamoff>(in.tellg(), 0)));
  in.seekg(0);
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    octets.append(piece.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (in.bad()) return fail("{}: it cannot be read: {}", path, std::generic_category().message(errno));
  return octets;
}

Result<void> replace_file(const std::string& path, std::string_view octets, Readers readers) {
  const std::string next = path + ".new";
  const mode_t mode = readers == Readers::Owner ? 0600 : 0640;
  const int descriptor = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (descriptor < 0) return fail("{}: {}", next, std::generic_category().message(errno));
  std::string_view rest = octets;
  while (!rest.empty()) {
    const auto written = ::write(descriptor, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) break;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  const bool synced = rest.empty() && ::fdatasync(descriptor) == 0;
  const int error = errno;
  ::close(descriptor);
  if (!synced) return fail("{}: {}", next, std::generic_category().message(error));
  std::error_code renamed;
  std::filesystem::rename(next, path, renamed);
  if (renamed) return fail("{}: {}", path, renamed.message());
  return {};
}

}  // namespace postern::session
