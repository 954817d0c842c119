// What a process can no longer do, whoever has taken it over: files beyond its own (Landlock) and system calls that it
// has no use for (seccomp). Both hold for the threads that are made later, and neither can be taken back.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace postern::app {

/// The files that a process works with. What is not there yet: the nearest folder above it that is.
struct Reach {
  std::vector<std::string> read;    ///< files, and folders with all that is in them
  std::vector<std::string> write;   ///< folders: everything in them is read, made, written, renamed and removed
  std::vector<std::string> append;  ///< folders: files in them are made and written, e.g. logs
  std::vector<std::string> clear;   ///< folders: files in them are removed, e.g. unix sockets
};

/// What every program reads: C library, resolver, time zones, /proc of its own.
std::vector<std::string> files_of_the_system();

/// The limits on files, and no bind(2) of TCP, as far as this kernel knows Landlock.
class FileFence {
 public:
  /// None: everything may be reached.
  FileFence() = default;

  /// For this process from here on; it must have one thread, and have forbidden itself new rights. Fails when the
  /// kernel cannot do it.
  static Result<FileFence> raise(const Reach& reach);

  /// Whether a path may be read, as far as the fence goes: a folder that took the place of another is not known to it.
  bool lets_read(const std::string& path) const;
  bool lets_write(const std::string& path) const;

 private:
  using Places = std::set<std::pair<std::uint64_t, std::uint64_t>>;  // device and inode
  static bool is_within(const std::string& path, const Places& places);

  bool raised_ = false;
  Places readable_, writable_;
};

/// Who needs which system calls.
enum class Calls {
  Daemon,  ///< files, sockets and threads; no programs
  Loader,  ///< reads files and answers on a socket that it has
};

/// For all threads. What is not needed fails as in a kernel that does not have it, so that a C library that tries
/// something new finds another way; what only an attacker can want (execve, ptrace, mount, bpf, ...) ends the process.
/// Fails when the kernel cannot do it.
Result<void> filter_calls(Calls calls);

}  // namespace postern::app
