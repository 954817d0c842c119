#include "daemon/app/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/descriptor.h"

namespace postern::app {

StateLock::~StateLock() { give_up(); }

void StateLock::give_up() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

Result<void> StateLock::take(const std::string& state_dir) {
  give_up();
  state_dir_ = state_dir;
  if (::mkdir(state_dir.c_str(), 0750) != 0 && errno != EEXIST) {
    return fail("state_dir {}: cannot be made: {}; make it for the user that posternd runs as", state_dir,
                std::strerror(errno));
  }
  const std::string path = state_dir + "/lock";
  Descriptor opened(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (opened.get() < 0) {
    return fail("{}: {}; state_dir must be writable for the user that posternd runs as", path, std::strerror(errno));
  }
  if (::flock(opened.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail("{}: another posternd is running on this state_dir; stop it, or give this one a state_dir of its own",
                path);
  }
  descriptor_ = opened.release();
  return {};
}

}  // namespace postern::app
