#include "daemon/storage/secret_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/descriptor.h"

namespace postern::storage {

namespace {

/// Under its name it is always whole: kill -9 and power cuts leave the old state or the new one.
Result<Secret> make_secret(const std::string& path) {
  Secret secret;
  const auto size = static_cast<ssize_t>(secret.size());
  if (::getrandom(secret.data(), secret.size(), 0) != size) {
    return fail("{}: the system gives no random octets: {}", path, std::strerror(errno));
  }
  const std::string fresh = path + ".new";
  const Descriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  const bool written = file.get() >= 0 && ::write(file.get(), secret.data(), secret.size()) == size &&
                       ::fsync(file.get()) == 0 && std::rename(fresh.c_str(), path.c_str()) == 0;
  if (!written) {
    return fail("{}: cannot be made: {}; state_dir must be writable for the user that posternd runs as", path,
                std::strerror(errno));
  }
  const Descriptor folder(::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) (void)::fsync(folder.get());
  return secret;
}

}  // namespace

Result<Secret> secret_file(const std::string& path, std::string_view lost_with_it) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0 && errno == ENOENT) return make_secret(path);
  if (file.get() < 0) return fail("{}: {}; it must be readable for the user that posternd runs as", path, std::strerror(errno));
  Secret secret;
  std::uint8_t more = 0;
  const bool whole = ::read(file.get(), secret.data(), secret.size()) ==
                         static_cast<ssize_t>(secret.size()) &&
                     ::read(file.get(), &more, 1) == 0;
  if (!whole) {
    return fail("{}: expected {} octets; remove it, and a new one is made: then {}", path, secret.size(), lost_with_it);
  }
  return secret;
}

}  // namespace postern::storage
