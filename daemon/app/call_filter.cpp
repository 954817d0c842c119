#include <linux/prctl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <span>
#include <system_error>

#include "base/sanitizers.h"
#include "daemon/app/sandbox.h"

namespace postern::app {

namespace {

// Names, not numbers: libseccomp knows which of them an architecture has. Older and newer names of one thing stand
// together, since C libraries choose.
constexpr const char* for_both[] = {
    // memory and threads
    "brk", "munmap", "mremap", "madvise", "mincore", "msync", "membarrier", "futex", "futex_time64", "futex_waitv",
    "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "arch_prctl", "sched_yield", "sched_getaffinity",
    "exit", "exit_group", "restart_syscall", "gettid", "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid",
    "getresuid", "getresgid", "getgroups", "getrusage", "sysinfo", "uname", "getcpu", "getrandom", "capget",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack", "sigreturn",
    // time
    "clock_gettime", "clock_gettime64", "clock_getres", "clock_nanosleep", "clock_nanosleep_time64", "nanosleep",
    "gettimeofday", "time", "times",
    // reading files
    "open", "openat", "openat2", "close", "close_range", "read", "readv", "pread64", "preadv", "preadv2", "lseek",
    "_llseek", "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64", "newfstatat", "fstatat64", "statx", "statfs",
    "statfs64", "fstatfs", "fstatfs64", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents",
    "getdents64", "getcwd", "fcntl", "fcntl64", "dup", "dup2", "dup3", "fadvise64", "readahead",
    // descriptors that are there
    "write", "writev", "recvfrom", "recv", "sendto", "send", "recvmsg", "sendmsg", "poll", "ppoll", "ppoll_time64"};

constexpr const char* for_the_daemon[] = {
    // writing files
    "pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "sync_file_range", "ftruncate", "ftruncate64", "truncate",
    "fallocate", "flock", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "mkdir", "mkdirat",
    "rmdir", "umask", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "fchownat", "lchown", "utimensat",
    "sendfile", "splice", "copy_file_range", "pipe", "pipe2",
    // loops
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "select", "pselect6",
    "eventfd", "eventfd2", "timerfd_create", "timerfd_settime", "timerfd_gettime", "inotify_init", "inotify_init1",
    "inotify_add_watch", "inotify_rm_watch", "setpriority", "getpriority", "sched_getparam", "sched_getscheduler",
    // sockets
    "socketpair", "connect", "bind", "listen", "accept", "accept4", "getsockname", "getpeername", "setsockopt",
    "getsockopt", "sendmmsg", "recvmmsg", "shutdown", "getrlimit", "ugetrlimit"};

/// Nothing here has any use for these, and nobody tries them to find out what a kernel can do.
constexpr const char* hostile[] = {
    "execve", "execveat", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    "mount", "umount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsmount", "mount_setattr",
    "setns", "unshare", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "bpf",
    "userfaultfd", "perf_event_open", "keyctl", "add_key", "request_key", "open_by_handle_at", "reboot", "swapon",
    "swapoff", "acct", "quotactl", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname",
    "setdomainname", "iopl", "ioperm", "syslog", "personality"};

// Sanitizers look for leaks from a process that traces this one, and map as they like.
constexpr bool sanitized = address_sanitizer || thread_sanitizer;

class Filter {
 public:
  Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(ENOSYS)), seccomp_release) {}

  void rules(std::span<const char* const> names, std::uint32_t action) {
    for (const char* name : names) rule(name, action);
  }

  void rule(const char* name, std::uint32_t action) {
    if (const int number = number_of(name); number != __NR_SCMP_ERROR) {
      note(seccomp_rule_add_array(context_.get(), action, number, 0, nullptr));
    }
  }

  void rule_if(const char* name, std::uint32_t action, const scmp_arg_cmp& condition) {
    if (const int number = number_of(name); number != __NR_SCMP_ERROR) {
      note(seccomp_rule_add_array(context_.get(), action, number, 1, &condition));
    }
  }

  Result<void> load() {
    if (!context_) return fail("seccomp: no memory");
    note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1));
    note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));  // a tree, not a list
    if (failure_ == 0) failure_ = seccomp_load(context_.get());
    if (failure_ != 0) {
      return fail("this kernel filters no system calls ({})", std::generic_category().message(-failure_));
    }
    return {};
  }

 private:
  static int number_of(const char* name) { return seccomp_syscall_resolve_name(name); }

  void note(int result) {
    if (result != 0 && failure_ == 0) failure_ = result;
  }

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int failure_ = 0;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) { return {argument, SCMP_CMP_EQ, value, 0}; }

scmp_arg_cmp has(unsigned argument, std::uint64_t bits) { return {argument, SCMP_CMP_MASKED_EQ, bits, bits}; }

scmp_arg_cmp lacks(unsigned argument, std::uint64_t bits) { return {argument, SCMP_CMP_MASKED_EQ, bits, 0}; }

/// No memory becomes a program that was not one when this was called.
void allow_memory(Filter& filter) {
  for (const char* name : {"mmap", "mmap2", "mprotect"}) {
    if (sanitized) {
      filter.rule(name, SCMP_ACT_ALLOW);
    } else {
      filter.rule_if(name, SCMP_ACT_ALLOW, lacks(2, PROT_EXEC));
      filter.rule_if(name, SCMP_ACT_ERRNO(EPERM), has(2, PROT_EXEC));
    }
  }
}

/// Of itself alone: names of threads and of memory, the end after a failed assertion.
void allow_self(Filter& filter) {
  filter.rule_if("tgkill", SCMP_ACT_ALLOW, equals(0, static_cast<std::uint64_t>(::getpid())));
  filter.rule_if("prlimit64", SCMP_ACT_ALLOW, equals(0, 0));
  if (sanitized) return filter.rule("prctl", SCMP_ACT_ALLOW);
  for (const int option : {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, 0x53564d41 /* PR_SET_VMA */}) {
    filter.rule_if("prctl", SCMP_ACT_ALLOW, equals(0, static_cast<std::uint64_t>(option)));
  }
}

/// clone3 hides its flags from a filter: without it the C library takes clone.
void allow_threads(Filter& filter) {
  if (sanitized) return filter.rule("clone", SCMP_ACT_ALLOW);
  filter.rule_if("clone", SCMP_ACT_ALLOW, has(0, CLONE_THREAD));
  filter.rule_if("clone", SCMP_ACT_ERRNO(EPERM), lacks(0, CLONE_THREAD));
}

void allow_sockets(Filter& filter) {
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
    filter.rule_if("socket", SCMP_ACT_ALLOW, equals(0, static_cast<std::uint64_t>(family)));
  }
  // SIOCOUTQ: what of an answer the client has not yet acknowledged.
  for (const auto request : {FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS, SIOCOUTQ}) {
    filter.rule_if("ioctl", SCMP_ACT_ALLOW, equals(1, static_cast<std::uint64_t>(request)));
  }
}

}  // namespace

Result<void> filter_calls(Calls calls) {
  Filter filter;
  filter.rules(for_both, SCMP_ACT_ALLOW);
  filter.rules(hostile, SCMP_ACT_KILL_PROCESS);
  allow_memory(filter);
  allow_self(filter);
  if (calls == Calls::Daemon) {
    filter.rules(for_the_daemon, SCMP_ACT_ALLOW);
    allow_threads(filter);
    allow_sockets(filter);
  }
  if (sanitized) {
    for (const char* name : {"ptrace", "wait4", "waitid", "kill"}) filter.rule(name, SCMP_ACT_ALLOW);
  } else {
    filter.rule("ptrace", SCMP_ACT_KILL_PROCESS);
  }
  return filter.load();
}

}  // namespace postern::app
