#include "daemon/app/state_file.h"

#include <algorithm>
#include <cstddef>
#include <fstream>

namespace postern::app {

Result<std::string> read_state_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  if (!in) return fail("{}: cannot be read", path);
  std::string octets(static_cast<std::size_t>(std::max<std::streamoff>(in.tellg(), 0)), '\0');
  in.seekg(0);
  in.read(octets.data(), static_cast<std::streamsize>(octets.size()));
  if (in.bad()) return fail("{}: cannot be read", path);
  octets.resize(static_cast<std::size_t>(in.gcount()));
  return octets;
}

}  // namespace postern::app
