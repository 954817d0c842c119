#include "daemon/app/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace postern::app {

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

StateLock::StateLock(StateLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

StateLock& StateLock::operator=(StateLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

Result<StateLock> StateLock::take(const std::string& state_dir) {
  if (::mkdir(state_dir.c_str(), 0750) != 0 && errno != EEXIST) {
    return fail("state_dir {}: cannot be made: {}; make it for the user that posternd runs as", state_dir,
                std::strerror(errno));
  }
  const std::string path = state_dir + "/lock";
  StateLock lock;
  lock.descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
  if (lock.descriptor_ < 0) {
    return fail("{}: {}; state_dir must be writable for the user that posternd runs as", path, std::strerror(errno));
  }
  if (::flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    return fail("{}: another posternd is running on this state_dir; stop it, or give this one a state_dir of its own",
                path);
  }
  return lock;
}

}  // namespace postern::app
