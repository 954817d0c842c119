// FileSource with the rights of this process.
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/descriptor.h"
#include "base/text.h"
#include "certs/loader.h"
#include "certs/open_files.h"

namespace postern::certs {

namespace {

std::string user_name(uid_t uid) {
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return fmt::format("uid {}", uid);
}

std::string group_name(gid_t gid) {
  std::array<char, 4096> buffer;
  group entry{};
  group* found = nullptr;
  if (getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr) return found->gr_name;
  return fmt::format("gid {}", gid);
}

/// "user root and group ssl-cert", by the bits that open the file (or folder) to somebody.
std::string who_may(const struct stat& info, mode_t user_bit, mode_t group_bit) {
  const bool user = (info.st_mode & user_bit) != 0;
  const bool group = (info.st_mode & group_bit) != 0;
  if (user && group) return fmt::format("user {} and group {}", user_name(info.st_uid), group_name(info.st_gid));
  if (group) return fmt::format("group {}", group_name(info.st_gid));
  if (user) return fmt::format("user {}", user_name(info.st_uid));
  return "nobody";
}

/// The first folder on the way to `path` that this process may not pass.
std::string closed_folder(const std::string& path) {
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    const std::string folder = path.substr(0, slash);
    struct stat info{};
    if (access(folder.c_str(), X_OK) == 0 || stat(folder.c_str(), &info) != 0) continue;
    return fmt::format("the folder {} is open to {} only", folder, who_may(info, S_IXUSR, S_IXGRP));
  }
  return {};
}

std::string denied(const std::string& path) {
  struct stat info{};
  const std::string self = user_name(geteuid()) + " (RIGHTS in posternd(8) says what helps)";
  if (stat(path.c_str(), &info) == 0) {
    return fmt::format("{}: permission denied: readable by {} only, and this process runs as {}", path,
                       who_may(info, S_IRUSR, S_IRGRP), self);
  }
  const std::string folder = closed_folder(path);
  return folder.empty() ? fmt::format("{}: permission denied: this process runs as {}", path, self)
                        : fmt::format("{}: permission denied: {}, and this process runs as {}", path, folder, self);
}

std::optional<std::string> link_text(const std::string& path) {
  std::array<char, 4096> target;
  const auto length = readlink(path.c_str(), target.data(), target.size());
  if (length < 0) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(length));
}

std::string missing(const std::string& path) {
  // Also a link in the middle of the path may dangle (Kubernetes' `..data`): the longest part that is a link is named.
  for (std::size_t end = path.size(); end != std::string::npos && end > 0; end = path.rfind('/', end - 1)) {
    const std::string part = path.substr(0, end);
    struct stat info{};
    if (stat(part.c_str(), &info) == 0) break;
    if (const auto target = link_text(part)) {
      return fmt::format("{}: {} is a dangling link: its target {} does not exist", path,
                         end == path.size() ? "it" : part, *target);
    }
  }
  return fmt::format("{}: does not exist", path);
}

Error describe(const std::string& path, int error) {
  switch (error) {
    case EACCES:
    case EPERM: return {denied(path)};
    case ENOENT: return {missing(path)};
    case ELOOP: return {fmt::format("{}: its links lead in a circle", path)};
    case ENOTDIR: return {fmt::format("{}: a part of this path is no folder", path)};
    case ENXIO: return {fmt::format("{}: is a socket, not a regular file", path)};
    default: break;
  }
  std::array<char, 256> text{};
  return {fmt::format("{}: {}", path, strerror_r(error, text.data(), text.size()))};
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

FileState state_of(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<std::uint64_t>(info.st_size),
          .mtime_ns = std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec,
          .ctime_ns = std::int64_t{info.st_ctim.tv_sec} * 1'000'000'000 + info.st_ctim.tv_nsec};
}

DirectoryEntry entry_of(int folder, const dirent64& entry) {
  DirectoryEntry made{entry.d_name, entry.d_type == DT_DIR};
  if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return made;
  made.may_be_link = true;
  struct stat info{};
  made.dangling = fstatat(folder, entry.d_name, &info, 0) != 0;
  made.is_directory = !made.dangling && S_ISDIR(info.st_mode);
  return made;
}

class LocalFiles : public FileSource {
 public:
  Result<FileState> state(const std::string& path) override {
    struct stat info{};
    if (stat(path.c_str(), &info) != 0) return fail_with(describe(path, errno));
    return state_of(info);
  }

  bool exists(const std::string& path) override {
    struct stat info{};
    return stat(path.c_str(), &info) == 0;
  }

  Result<FileContents> read(const std::string& path, std::size_t octets_max) override {
    const Descriptor file(open(path.c_str(), read_flags));
    if (file.get() < 0) return fail_with(why_not_opened(path, read_flags, errno));
    return read_open(file.get(), path, octets_max);
  }

  Result<Listing> list(const std::string& path) override {
    const Descriptor folder(open(path.c_str(), list_flags));
    if (folder.get() < 0) return fail_with(why_not_opened(path, list_flags, errno));
    return list_open(folder.get(), path);
  }

  std::optional<std::string> link_target(const std::string& path) override { return link_text(path); }
};

}  // namespace

Error why_not_opened(const std::string& path, int flags, int error) {
  if (error == ENOTDIR && (flags & O_DIRECTORY) != 0) return {fmt::format("{}: is no folder", path)};
  return describe(path, error);
}

Result<FileState> state_of_open(int descriptor, const std::string& path) {
  struct stat info{};
  if (fstat(descriptor, &info) != 0) return fail_with(describe(path, errno));
  return state_of(info);
}

Result<FileContents> read_open(int descriptor, const std::string& path, std::size_t octets_max) {
  struct stat info{};
  if (fstat(descriptor, &info) != 0) return fail_with(describe(path, errno));
  if (!S_ISREG(info.st_mode)) return fail("{}: is {}, not a regular file", path, kind_of(info.st_mode));
  FileContents contents{state_of(info), {}};
  if (contents.state.size <= octets_max) contents.bytes.resize(contents.state.size + 1);
  std::size_t filled = 0;
  // One octet more than there should be: a file that grows while it is read is read to its end, within the limit.
  while (filled < contents.bytes.size()) {
    const auto count = ::read(descriptor, contents.bytes.data() + filled, contents.bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_with(describe(path, errno));
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
    if (filled == contents.state.size) break;  // one octet more was asked for: this is the end
    if (filled == contents.bytes.size() && filled <= octets_max) {
      contents.bytes.resize(std::min(octets_max + 1, filled * 2));
    }
  }
  if (contents.state.size > octets_max || filled > octets_max) {
    return fail("{}: has {} octets or more, and at most {} are read", path,
                std::max<std::uint64_t>(contents.state.size, filled), octets_max);
  }
  contents.bytes.resize(filled);
  return contents;
}

/// Not opendir() and readdir(): among 10^5 folders with a certificate each, every system call counts. (And
/// ThreadSanitizer does not see the descriptor that opendir() opens, and takes it for that of an earlier socket.)
Result<Listing> list_open(int descriptor, const std::string& path) {
  struct stat info{};
  if (fstat(descriptor, &info) != 0) return fail_with(describe(path, errno));
  Listing listing{state_of(info), {}};
  alignas(dirent64) std::array<char, 16 * 1024> buffer;
  for (;;) {
    const auto count = getdents64(descriptor, buffer.data(), buffer.size());
    if (count < 0) return fail_with(describe(path, errno));
    if (count == 0) return listing;
    for (std::size_t at = 0; at < static_cast<std::size_t>(count);) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") listing.entries.push_back(entry_of(descriptor, *entry));
    }
  }
}

std::unique_ptr<FileSource> make_local_file_source() { return std::make_unique<LocalFiles>(); }

}  // namespace postern::certs
