#include "daemon/app/sandbox.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/sanitizers.h"
#include "daemon/app/confinement.h"
#include "daemon/app/rights.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_directory.h"

using namespace postern;
using namespace postern::app;
using namespace postern::test;

namespace fs = std::filesystem;

namespace {

constexpr int not_entered = 101;
constexpr bool sanitized = address_sanitizer || thread_sanitizer;

/// The wait status of a child that enters and then does this; its exit code is what `act` returns.
int status_of(const std::function<bool()>& enter, const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    forbid_new_rights();
    ::_exit(enter() ? act() : not_entered);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

int code_of(const std::function<bool()>& enter, const std::function<int()>& act) {
  const int status = status_of(enter, act);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int error_of(long result) { return result < 0 ? errno : 0; }

struct Tree {
  TemporaryDirectory folder;
  fs::path root = folder.path();

  Tree() {
    for (const char* each : {"sources", "state", "log", "run", "other", "empty"}) {
      fs::create_directory(root / each);
      std::ofstream(root / each / "file") << "text";
    }
    fs::create_symlink(root / "other/file", root / "sources/link");
  }

  std::string at(const char* path) const { return (root / path).string(); }

  std::function<bool()> enter() const {
    return [reach = Reach{.read = {at("sources"), at("empty/later/folder")},
                          .write = {at("state")},
                          .append = {at("log")},
                          .clear = {at("run")}}] { return FileFence::raise(reach).has_value(); };
  }
};

int open_error(const std::string& path, int flags) { return error_of(::open(path.c_str(), flags, 0600)); }

std::function<bool()> filtered(Calls calls) {
  return [calls] { return filter_calls(calls).has_value(); };
}

}  // namespace

TEST_CASE("within the fence files are read, written and made") {
  const Tree tree;
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("sources/file"), O_RDONLY); }) == 0);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("sources"), O_RDONLY | O_DIRECTORY); }) == 0);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("state/new"), O_RDWR | O_CREAT); }) == 0);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("state/file"), O_RDWR | O_TRUNC); }) == 0);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("state"), O_RDWR | O_TMPFILE); }) == 0);
  CHECK(code_of(tree.enter(), [&] {
          const auto below = tree.at("state/below");
          if (::mkdir(below.c_str(), 0700) != 0) return errno;
          if (::rename(tree.at("state/file").c_str(), (below + "/file").c_str()) != 0) return errno;
          if (::unlink((below + "/file").c_str()) != 0) return errno;
          return error_of(::rmdir(below.c_str()));
        }) == 0);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("log/new"), O_WRONLY | O_APPEND | O_CREAT); }) == 0);
  CHECK(code_of(tree.enter(), [&] { return open_error("/dev/null", O_RDWR); }) == 0);
  CHECK(code_of(tree.enter(), [&] { return error_of(::unlink(tree.at("run/file").c_str())); }) == 0);
}

TEST_CASE("beyond the fence nothing is opened, not even by root") {
  const Tree tree;
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("other/file"), O_RDONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("sources/link"), O_RDONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("sources/../other/file"), O_RDONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error("/etc/shadow", O_RDONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error("/proc/1/environ", O_RDONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("sources/file"), O_WRONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("sources/new"), O_WRONLY | O_CREAT); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("other/new"), O_WRONLY | O_CREAT); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return open_error(tree.at("log/file"), O_RDONLY); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return error_of(::unlink(tree.at("log/file").c_str())); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] { return error_of(::symlink("x", tree.at("state/link").c_str())); }) == EACCES);
  CHECK(code_of(tree.enter(), [&] {
          return error_of(::rename(tree.at("state/file").c_str(), tree.at("other/file").c_str()));
        }) != 0);
  CHECK(code_of(tree.enter(), [&] {
          int error = 0;
          std::thread([&] { error = open_error(tree.at("other/file"), O_RDONLY); }).join();
          return error;
        }) == EACCES);
}

TEST_CASE("behind the fence no other port is bound, as far as the kernel knows that") {
  const Tree tree;
  const int code = code_of(tree.enter(), [] {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    const int made = ::socket(AF_INET, SOCK_STREAM, 0);
    return error_of(::bind(made, reinterpret_cast<const sockaddr*>(&any), sizeof any));
  });
  const long abi = ::syscall(444, nullptr, 0, 1);
  CHECK(code == (abi >= 4 ? EACCES : 0));
}

TEST_CASE("the fence knows what lies beyond it") {
  const Tree tree;
  const auto known = [&](const std::string& path, bool replaced) {
    const auto enter = [] { return true; };
    return code_of(enter, [&] {
      const auto fence = FileFence::raise({.read = {tree.at("sources"), tree.at("empty/later/folder")},
                                           .write = {tree.at("state")}, .append = {}, .clear = {}});
      if (!fence) return not_entered;
      if (replaced) return beyond(*fence, {.read = {path}, .write = {}, .append = {}, .clear = {}}).empty() ? 0 : 1;
      return (fence->lets_read(path) ? 2 : 0) + (fence->lets_write(path) ? 1 : 0);
    });
  };
  CHECK(known(tree.at("sources/new/folder"), false) == 2);
  CHECK(known(tree.at("state/certs"), false) == 3);
  CHECK(known(tree.at("empty"), false) == 2);  // `later` is not there yet: the folder above it is
  CHECK(known(tree.at("sources/link"), false) == 0);
  CHECK(known("/srv", true) == 1);
  CHECK(FileFence().lets_read("/anywhere"));
}

TEST_CASE("a fence is not raised for one thread of several") {
  const Tree tree;
  CHECK(code_of([] { return true; }, [&] {
          std::thread other([] { ::pause(); });
          const bool raised = tree.enter()();
          other.detach();
          return raised ? 0 : 1;
        }) == 1);
}

TEST_CASE("what only an attacker wants ends the process") {
  const auto killed = [](Calls calls, const std::function<int()>& act) {
    const int status = status_of(filtered(calls), act);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
  };
  for (const Calls calls : {Calls::Daemon, Calls::Loader}) {
    CHECK(killed(calls, [] { return ::execl("/bin/true", "true", nullptr); }));
    CHECK(killed(calls, [] { return ::mount("none", "/mnt", "tmpfs", 0, nullptr); }));
    CHECK(killed(calls, [] { return ::unshare(CLONE_NEWUSER); }));
    for (const long call : {SYS_bpf, SYS_keyctl, SYS_init_module, SYS_finit_module, SYS_kexec_load, SYS_perf_event_open,
                            SYS_userfaultfd, SYS_process_vm_readv, SYS_setns, SYS_chroot, SYS_open_by_handle_at}) {
      CAPTURE(call);
      CHECK(killed(calls, [call] { return static_cast<int>(::syscall(call, 0, 0, 0, 0, 0)); }));
    }
    if (sanitized) continue;
    CHECK(killed(calls, [] { return static_cast<int>(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)); }));
  }
}

TEST_CASE("what is not needed fails as in a kernel that does not have it") {
  for (const Calls calls : {Calls::Daemon, Calls::Loader}) {
    CHECK(code_of(filtered(calls), [] { return error_of(::syscall(SYS_io_uring_setup, 1, nullptr)); }) == ENOSYS);
    CHECK(code_of(filtered(calls), [] { return error_of(::syscall(SYS_memfd_create, "x", 0)); }) == ENOSYS);
    CHECK(code_of(filtered(calls), [] { return error_of(::syscall(100'000)); }) == ENOSYS);
    CHECK(code_of(filtered(calls), [] { return error_of(::setuid(0)); }) == ENOSYS);
  }
  CHECK(code_of(filtered(Calls::Daemon), [] { return error_of(::socket(AF_PACKET, SOCK_RAW, 0)); }) == ENOSYS);
  CHECK(code_of(filtered(Calls::Loader), [] { return error_of(::socket(AF_INET, SOCK_STREAM, 0)); }) == ENOSYS);
  CHECK(code_of(filtered(Calls::Loader), [] { return error_of(::unlink("/nothing")); }) == ENOSYS);
  if (sanitized) return;
  CHECK(code_of(filtered(Calls::Daemon), [] { return error_of(::kill(::getppid(), 0)); }) == ENOSYS);
  CHECK(code_of(filtered(Calls::Daemon), [] { return error_of(::fork()); }) == EPERM);
  CHECK(code_of(filtered(Calls::Daemon), [] {
          void* made = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
          return made == MAP_FAILED ? errno : 0;
        }) == EPERM);
}

TEST_CASE("threads, sockets and files go on under the filter, and a failed assertion still aborts") {
  CHECK(code_of(filtered(Calls::Daemon), [] {
          int value = 1;
          std::thread([&] { value = error_of(::socket(AF_INET6, SOCK_STREAM, 0)); }).join();
          return value;
        }) == 0);
  CHECK(code_of(filtered(Calls::Daemon), [] { return open_error("/dev/null", O_RDWR); }) == 0);
  CHECK(code_of(filtered(Calls::Daemon), []() -> int {
          std::signal(SIGABRT, SIG_DFL);  // not Catch2's
          std::abort();
        }) == -SIGABRT);
  CHECK(code_of(filtered(Calls::Loader), [] { return open_error("/dev/null", O_RDONLY); }) == 0);
}
