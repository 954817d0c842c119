#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "base/descriptor.h"
#include "base/sanitizers.h"
#include "daemon/app/sandbox.h"

namespace postern::app {

namespace fs = std::filesystem;

namespace {

// landlock(7), by hand: the headers of Debian 12 know less than kernels do.
constexpr long create_ruleset = 444;
constexpr long add_rule = 445;
constexpr long restrict_self = 446;
constexpr unsigned version_flag = 1;
constexpr int rule_path_beneath = 1;

struct RulesetAttributes {
  std::uint64_t files = 0;
  std::uint64_t network = 0;
};

struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};

enum Access : std::uint64_t {
  WriteFile = 1u << 1,
  ReadFile = 1u << 2,
  ReadFolder = 1u << 3,
  RemoveFolder = 1u << 4,
  RemoveFile = 1u << 5,
  MakeFolder = 1u << 7,
  MakeFile = 1u << 8,
  MakeSocket = 1u << 9,
  Refer = 1u << 13,     // rename from one folder to another; since ABI 2
  Truncate = 1u << 14,  // since ABI 3
};

constexpr std::uint64_t all_of_abi_1 = (1u << 13) - 1;
constexpr std::uint64_t bind_tcp = 1;  // since ABI 4
constexpr std::uint64_t on_files = WriteFile | ReadFile | Truncate;
constexpr std::uint64_t reading = ReadFile | ReadFolder;
constexpr std::uint64_t appending = WriteFile | MakeFile | Truncate;
constexpr std::uint64_t writing = reading | appending | RemoveFolder | RemoveFile | MakeFolder | MakeSocket | Refer;

/// All that a kernel of this ABI can keep from a process.
std::uint64_t known_accesses(long abi) {
  return all_of_abi_1 | (abi >= 2 ? std::uint64_t{Refer} : 0) | (abi >= 3 ? std::uint64_t{Truncate} : 0);
}

std::string reason(int error) { return std::generic_category().message(error); }

int open_path(const fs::path& path) { return ::open(path.c_str(), O_PATH | O_CLOEXEC); }

/// What is there of a path: itself, or a folder above it, but never the root of all.
int open_nearest(fs::path path) {
  std::error_code none;
  path = fs::absolute(path, none).lexically_normal();
  while (path.has_relative_path()) {
    const int opened = open_path(path);
    if (opened >= 0 || (errno != ENOENT && errno != ENOTDIR)) return opened;
    path = path.parent_path();
  }
  return -1;
}

/// Threads that were made before would stay outside. TSan has one of its own, which runs none of our code.
bool has_one_thread() {
  constexpr std::ptrdiff_t threads_max = thread_sanitizer ? 2 : 1;
  std::error_code error;
  const fs::directory_iterator threads("/proc/self/task", error);
  return error || std::distance(fs::begin(threads), fs::end(threads)) <= threads_max;
}

class Ruleset {
 public:
  Ruleset(int descriptor, std::uint64_t handled) : descriptor_(descriptor), handled_(handled) {}

  /// What cannot be looked at stays beyond the fence.
  template <class Places>
  void allow(const std::vector<std::string>& paths, std::uint64_t access, Places& places) const {
    for (const std::string& path : paths) {
      if (path.empty()) continue;
      const Descriptor opened(open_nearest(path));
      struct stat info{};
      if (opened.get() < 0 || ::fstat(opened.get(), &info) != 0) continue;
      PathBeneath rule;
      rule.allowed = access & handled_ & (S_ISDIR(info.st_mode) ? ~std::uint64_t{0} : on_files);
      rule.parent = opened.get();
      if (::syscall(add_rule, descriptor_.get(), rule_path_beneath, &rule, 0) == 0) {
        places.emplace(info.st_dev, info.st_ino);
      }
    }
  }

  bool enter() const { return ::syscall(restrict_self, descriptor_.get(), 0) == 0; }

 private:
  Descriptor descriptor_;
  const std::uint64_t handled_;
};

}  // namespace

std::vector<std::string> files_of_the_system() {
  // Files of /etc are replaced, not written: only their folder stays the same. Keys in it are guarded by their modes.
  std::vector<std::string> files{"/etc",         "/usr",          "/lib",          "/proc/self",
                                 "/proc/stat",   "/proc/meminfo", "/proc/cpuinfo", "/proc/sys/vm/overcommit_memory",
                                 "/sys/devices/system/cpu", "/sys/fs/cgroup"};
  for (const char* linked : {"/etc/resolv.conf", "/etc/hosts", "/etc/localtime"}) {
    std::error_code none;
    const auto real = fs::canonical(linked, none);
    if (!none) files.push_back(real.parent_path().string());
  }
  return files;
}

Result<FileFence> FileFence::raise(const Reach& reach) {
  if (!has_one_thread()) return fail("there are threads already");
  const long abi = ::syscall(create_ruleset, nullptr, 0, version_flag);
  if (abi < 1) return fail("this kernel has no Landlock, or it is switched off ({})", reason(errno));
  RulesetAttributes attributes;
  attributes.files = known_accesses(abi);
  if (abi >= 4) attributes.network = bind_tcp;
  const auto size = abi >= 4 ? sizeof attributes : sizeof attributes.files;
  const auto opened = static_cast<int>(::syscall(create_ruleset, &attributes, size, 0));
  if (opened < 0) return fail("Landlock: {}", reason(errno));
  const Ruleset rules(opened, attributes.files);
  FileFence fence;
  fence.raised_ = true;
  Places others;
  rules.allow(reach.read, reading, fence.readable_);
  rules.allow(reach.write, writing, fence.writable_);
  rules.allow(reach.append, appending, others);
  rules.allow(reach.clear, RemoveFile, others);
  rules.allow({"/dev/null", "/dev/urandom", "/dev/random"}, ReadFile | WriteFile, others);
  if (!rules.enter()) return fail("Landlock: {}", reason(errno));
  fence.readable_.insert(fence.writable_.begin(), fence.writable_.end());
  return fence;
}

bool FileFence::is_within(const std::string& path, const Places& places) {
  std::error_code error;
  fs::path place = fs::weakly_canonical(path, error);
  if (error) return true;  // it cannot be looked at: not because of the fence
  for (;;) {
    struct stat info{};
    if (::stat(place.c_str(), &info) == 0 && places.contains({info.st_dev, info.st_ino})) return true;
    if (!place.has_relative_path()) return false;
    place = place.parent_path();
  }
}

bool FileFence::lets_read(const std::string& path) const { return !raised_ || is_within(path, readable_); }

bool FileFence::lets_write(const std::string& path) const { return !raised_ || is_within(path, writable_); }

}  // namespace postern::app
