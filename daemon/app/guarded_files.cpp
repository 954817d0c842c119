#include "daemon/app/guarded_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <shared_mutex>
#include <system_error>
#include <utility>

#include "base/descriptor.h"
#include "certs/anchors.h"
#include "certs/item.h"
#include "certs/map_file.h"
#include "certs/open_files.h"

namespace postern::app {

namespace fs = std::filesystem;

namespace {

constexpr int path_flags = O_PATH | O_CLOEXEC;  // neither a FIFO nor a device notices

int open_resolving(const std::string& path, int flags, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = resolve;
  return static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
}

/// Opens what is there without links at the end of the path or on the way: it really is where the path says.
int open_without_links(const std::string& path, int flags) { return open_resolving(path, flags, RESOLVE_NO_SYMLINKS); }

int open_path(const std::string& path) {
  const int opened = open_resolving(path, path_flags, RESOLVE_NO_MAGICLINKS);
  if (opened >= 0 || errno != ENOSYS) return opened;
  return ::open(path.c_str(), path_flags);
}

constexpr std::size_t map_octets_max = 256 * 1024 * 1024;  // 10^6 names are a third of it

std::string place_of(int descriptor) { return fmt::format("/proc/self/fd/{}", descriptor); }

/// Where an open file really is.
std::string real_path(int descriptor) {
  std::array<char, 4096> target;
  const auto length = ::readlink(place_of(descriptor).c_str(), target.data(), target.size());
  return length < 0 ? std::string() : std::string(target.data(), static_cast<std::size_t>(length));
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

/// Absolute, without "//", "/./", "/../" and a "/" at the end: as nearly all paths are that are asked for.
bool is_normal(std::string_view path) {
  if (path.empty()) return false;
  while (!path.empty()) {
    if (path.front() != '/') return false;
    path.remove_prefix(1);
    const auto name = path.substr(0, path.find('/'));
    if (name.empty() || name == "." || name == "..") return false;
    path.remove_prefix(name.size());
  }
  return true;
}

/// Empty for what no file can be called: of a path with a NUL, the kernel would see the beginning alone.
std::string normal_form(const std::string& path) {
  if (path.find('\0') != std::string::npos) return {};
  return is_normal(path) ? path : without_slash(fs::path(path).lexically_normal().string());
}

/// The folder, and where certbot's links lead from it: live/NAME/fullchain.pem -> ../../archive/NAME/fullchain3.pem
std::vector<std::string> with_archive(const fs::path& folder) {
  const fs::path normal(normal_form(folder.string()));
  if (normal.empty() || normal == "/") return {};  // nobody means all files
  std::vector<std::string> folders{normal.string()};
  if (normal.filename() == "live") folders.push_back((normal.parent_path() / "archive").string());
  if (normal.parent_path().filename() == "live") {
    folders.push_back((normal.parent_path().parent_path() / "archive").string());
  }
  return folders;
}

/// Where a folder really is; empty when it is not there.
std::string real_folder(const std::string& folder) {
  const Descriptor opened(open_path(folder));
  return opened.get() < 0 ? std::string() : real_path(opened.get());
}

/// Whether the path, or a folder on the way to it, is one of these.
bool is_within(std::string_view path, const Paths& folders) {
  if (folders.empty()) return false;
  for (;;) {
    if (folders.contains(path)) return true;
    const auto slash = path.rfind('/');
    if (slash == std::string_view::npos || slash == 0) return false;
    path = path.substr(0, slash);
  }
}

}  // namespace

NeededFiles needed_files(const config::Config& config) {
  NeededFiles needed;
  const auto add_file = [&needed](const std::string& path) {
    if (!path.empty()) needed.files.push_back(path);
  };
  const certs::SourceSettings& sources = config.run.certificates;
  needed.folders = sources.directories;
  needed.maps = sources.maps;
  for (const std::string& map : sources.maps) add_file(map);
  for (const auto& certificate : sources.certificates) {
    add_file(certificate.chain);
    add_file(certificate.key);
  }
  add_file(sources.roots);
  if (const auto anchors = certs::system_anchor_file(*certs::make_local_file_source())) {
    add_file(*anchors);
    std::error_code none;
    add_file(fs::canonical(*anchors, none).string());
  }
  add_file(config.run.tls.ticket_key_file);
  for (const auto& backend : config.run.backends) {
    add_file(backend.tls.ca);
    add_file(backend.tls.certificate);
    add_file(backend.tls.key);
    add_file(backend.users.path);
  }
  return needed;
}

std::vector<std::string> folders_of(const NeededFiles& needed) {
  std::vector<std::string> folders;
  const auto add = [&folders](const fs::path& folder) {
    for (std::string& each : with_archive(folder)) folders.push_back(std::move(each));
  };
  for (const std::string& folder : needed.folders) add(folder);
  for (const std::string& file : needed.files) add(fs::path(file).parent_path());
  return folders;
}

GuardedFiles::GuardedFiles(const NeededFiles& needed) {
  for (const std::string& folder : needed.folders) {
    for (const std::string& each : with_archive(folder)) {
      folders_.insert(each);
      absent_folders_.insert(each);
    }
  }
  find_absent_folders();
  for (const std::string& file : needed.files) add(named_[""], file);
  for (const std::string& map : needed.maps) {
    maps_.insert(normal_form(map));
    (void)read(map, map_octets_max);
  }
}

void GuardedFiles::add(Named& named, const std::string& file) {
  named.files.insert(normal_form(file));
  for (std::string& folder : with_archive(fs::path(file).parent_path())) named.folders.insert(std::move(folder));
}

/// What a map has named before is needed no more.
void GuardedFiles::learn_map(const std::string& normal, std::string_view text) {
  Named named;
  for (const auto& list : certs::parse_map_file(text, normal).file_lists) {
    for (const std::string& file : list) add(named, file);
  }
  const std::lock_guard lock(named_mutex_);
  std::swap(named_[normal], named);
}

bool GuardedFiles::is_named(const std::string& normal) const {
  if (normal.empty()) return false;
  if (is_within(normal, folders_)) return true;
  const fs::path path(normal);
  // An OCSP response is found by the name of its chain; it is public.
  const bool staple = certs::is_staple_name(path.filename().string());
  const std::shared_lock lock(named_mutex_);
  return std::any_of(named_.begin(), named_.end(), [&](const auto& each) {
    const Named& named = each.second;
    return named.files.contains(normal) || (staple && named.folders.contains(path.parent_path().string()));
  });
}

/// Whether it lies beside a single file that is needed.
bool GuardedFiles::is_near_named(std::string_view normal) const {
  const std::shared_lock lock(named_mutex_);
  return std::any_of(named_.begin(), named_.end(),
                     [&](const auto& each) { return is_within(normal, each.second.folders); });
}

bool GuardedFiles::is_within_real(std::string_view path) const {
  const std::shared_lock lock(real_mutex_);
  return is_within(path, real_folders_);
}

/// Certbot makes its folders with the first certificate. Where a folder is when it is first seen, its files may be for as
/// long as this process runs.
void GuardedFiles::find_absent_folders() {
  const std::lock_guard lock(real_mutex_);
  std::erase_if(absent_folders_, [this](const std::string& folder) {
    auto real = real_folder(folder);
    if (real.empty()) return false;
    real_folders_.insert(std::move(real));
    return true;
  });
}

/// `normal` was asked for, and lies at `real`.
bool GuardedFiles::may_really_be(const std::string& real, const std::string& normal) {
  if (is_within_real(real)) return true;
  if (is_within(normal, folders_)) {
    find_absent_folders();
    return is_within_real(real);
  }
  Paths own;  // where the links of a single file may lead
  for (const std::string& folder : with_archive(fs::path(normal).parent_path())) {
    if (auto place = real_folder(folder); !place.empty()) own.insert(std::move(place));
  }
  return is_within(real, own);
}

std::vector<std::string> GuardedFiles::folders() const {
  std::vector<std::string> folders(folders_.begin(), folders_.end());
  const std::shared_lock lock(named_mutex_);
  for (const auto& [map, named] : named_) folders.insert(folders.end(), named.folders.begin(), named.folders.end());
  return folders;
}

/// What is asked for, if no link leads to it, or only one at the end of the path (as certbot makes them): two walks
/// along a path less than open_anywhere(). Nothing where that does not do.
Descriptor GuardedFiles::open_simple(const std::string& path, const std::string& normal, int flags) {
  if (is_within(normal, folders_) && !is_within_real(normal)) return Descriptor(-1);
  Descriptor opened(open_without_links(path, flags));
  if (opened.get() >= 0 || errno != ELOOP) return opened;
  const auto target = files_->link_target(path);
  if (!target) return opened;
  const std::string place = target->starts_with('/') ? *target : path.substr(0, path.rfind('/') + 1) + *target;
  // The kernel goes up where "..": without links on the way that is what the normal form does.
  if (!may_really_be(normal_form(place), normal)) return opened;
  return Descriptor(open_without_links(place, flags));
}

/// Wherever links lead, looks where that is before it opens it with `flags`.
Result<Descriptor> GuardedFiles::open_anywhere(const std::string& path, const std::string& normal, int flags) {
  Descriptor opened(open_path(path));
  if (opened.get() < 0) {
    const auto missing = files_->state(path);  // for its words
    return missing ? fail("{}: has changed meanwhile", path) : tl::unexpected(missing.error());
  }
  const std::string real = real_path(opened.get());
  if (!may_really_be(real, normal)) {
    return fail("{}: a link leads to {}, which lies under none of the configured sources; name its folder in "
                "certificates.directories, too",
                path, real);
  }
  if (flags == path_flags) return opened;
  Descriptor again(::open(place_of(opened.get()).c_str(), flags));
  if (again.get() < 0) return fail_with(certs::why_not_opened(path, flags, errno));
  return again;
}

Result<Descriptor> GuardedFiles::open(const std::string& path, int flags) {
  const std::string normal = normal_form(path);
  if (!is_named(normal)) return fail("{}: lies under none of the configured sources", path);
  Descriptor opened = open_simple(path, normal, flags);
  if (opened.get() >= 0) return opened;
  return open_anywhere(path, normal, flags);
}

Result<certs::FileState> GuardedFiles::state(const std::string& path) {
  const auto opened = open(path, path_flags);
  return opened ? certs::state_of_open(opened->get(), path) : tl::unexpected(opened.error());
}

Result<certs::FileContents> GuardedFiles::read_file(const std::string& path, std::size_t octets_max) {
  const auto opened = open(path, certs::read_flags);
  return opened ? certs::read_open(opened->get(), path, octets_max) : tl::unexpected(opened.error());
}

Result<certs::FileContents> GuardedFiles::read(const std::string& path, std::size_t octets_max) {
  const std::string normal = maps_.empty() ? std::string() : normal_form(path);
  if (!maps_.contains(normal)) return read_file(path, octets_max);
  const std::lock_guard lock(reading_map_);
  auto contents = read_file(path, octets_max);
  if (contents) learn_map(normal, contents->bytes);
  return contents;
}

Result<certs::Listing> GuardedFiles::list(const std::string& path) {
  const auto opened = open(path, certs::list_flags);
  return opened ? certs::list_open(opened->get(), path) : tl::unexpected(opened.error());
}

/// Links on the way to a file are asked for, too, to know which folders to watch.
std::optional<std::string> GuardedFiles::link_target(const std::string& path) {
  const std::string normal = normal_form(path);
  return is_named(normal) || is_near_named(normal) ? files_->link_target(path) : std::nullopt;
}

}  // namespace postern::app
