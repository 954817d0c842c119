#include "daemon/app/rights.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <system_error>

#include "base/descriptor.h"

namespace postern::app {

namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// capset(2): libcap would be a library for two calls.
constexpr std::uint32_t reading = 1u << CAP_DAC_READ_SEARCH;

struct Capabilities {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
};

Capabilities current_capabilities() {
  Capabilities current;
  (void)::syscall(SYS_capget, &current.header, current.data);
  return current;
}

Result<void> set(Capabilities& capabilities) {
  if (::syscall(SYS_capset, &capabilities.header, capabilities.data) != 0) return fail("capset: {}", reason(errno));
  return {};
}

/// `folder` is an open descriptor, and is closed.
void give_contents(int folder, const RunAs& owner, int depth) {
  constexpr int depth_max = 4;
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(folder), ::closedir);
  if (!listing) {
    ::close(folder);
    return;
  }
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    // What cannot be given is found, with its name, by whoever opens it.
    [[maybe_unused]] const int given =
        ::fchownat(::dirfd(listing.get()), name.c_str(), owner.user, owner.group, AT_SYMLINK_NOFOLLOW);
    if (depth >= depth_max) continue;
    const int below = ::openat(::dirfd(listing.get()), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (below >= 0) give_contents(below, owner, depth + 1);
  }
}

}  // namespace

Result<RunAs> find_run_as(const std::string& user, const std::string& group) {
  const passwd* found = ::getpwnam(user.c_str());
  if (found == nullptr) return fail("user = \"{}\": there is no such user on this system", user);
  RunAs made{found->pw_uid, found->pw_gid, user};
  if (group.empty()) return made;
  const struct group* of_group = ::getgrnam(group.c_str());
  if (of_group == nullptr) return fail("group = \"{}\": there is no such group on this system", group);
  made.group = of_group->gr_gid;
  return made;
}

bool is_root() { return ::geteuid() == 0; }

void forbid_new_rights() { ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }

Result<void> give_folder(const std::string& folder, const RunAs& owner) {
  Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (opened.get() < 0) return fail("{}: {}", folder, reason(errno));
  if (::fchown(opened.get(), owner.user, owner.group) != 0) {
    return fail("{}: cannot be given to user {}: {}", folder, owner.user_name, reason(errno));
  }
  give_contents(opened.release(), owner, 0);
  return {};
}

Result<void> become(const RunAs& who) {
  if (::initgroups(who.user_name.c_str(), who.group) != 0 || ::setresgid(who.group, who.group, who.group) != 0 ||
      ::setresuid(who.user, who.user, who.user) != 0) {
    return fail("user {}: {}", who.user_name, reason(errno));
  }
  if (who.user != 0 && ::setuid(0) == 0) return fail("user {}: root's rights cannot be given up", who.user_name);
  return {};
}

bool reads_everything() {
  const auto capabilities = current_capabilities();
  return (capabilities.data[0].permitted & reading) != 0;
}

Result<void> read_no_more_than_others() {
  auto capabilities = current_capabilities();
  capabilities.data[0].effective &= ~reading;
  capabilities.data[0].permitted &= ~reading;
  capabilities.data[0].inheritable &= ~reading;
  return set(capabilities);
}

Result<void> become_reader(const std::optional<RunAs>& who) {
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return fail("PR_SET_KEEPCAPS: {}", reason(errno));
  if (who) {
    if (auto changed = become(*who); !changed) return changed;
  }
  Capabilities only;
  only.data[0].effective = only.data[0].permitted = reading;
  if (auto changed = set(only); !changed) return changed;
  ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  return {};
}

}  // namespace postern::app
