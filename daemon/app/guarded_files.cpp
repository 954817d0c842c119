#include "daemon/app/guarded_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <utility>

namespace postern::app {

namespace fs = std::filesystem;

namespace {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

/// O_PATH: neither a FIFO nor a device notices.
int open_path(const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_MAGICLINKS;
  const auto opened = static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
  if (opened >= 0 || errno != ENOSYS) return opened;
  return ::open(path.c_str(), O_PATH | O_CLOEXEC);
}

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

void add_folder(std::vector<std::string>& folders, const fs::path& folder) {
  const std::string path = without_slash(folder.lexically_normal().string());
  if (path.empty() || path == "/") return;  // nobody means all files
  folders.push_back(path);
  const fs::path normal(path);
  // certbot: live/NAME/fullchain.pem -> ../../archive/NAME/fullchain3.pem
  if (normal.filename() == "live") folders.push_back((normal.parent_path() / "archive").string());
  if (normal.parent_path().filename() == "live") {
    folders.push_back((normal.parent_path().parent_path() / "archive").string());
  }
}

bool is_within(const std::string& path, const std::vector<std::string>& folders) {
  return std::any_of(folders.begin(), folders.end(), [&path](const std::string& folder) {
    return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
  });
}

}  // namespace

NeededFiles needed_files(const config::Config& config) {
  NeededFiles needed;
  const auto add_file = [&needed](const std::string& path) {
    if (!path.empty()) needed.files.push_back(fs::path(path).lexically_normal().string());
  };
  const certs::SourceSettings& sources = config.run.certificates;
  for (const std::string& folder : sources.directories) add_folder(needed.folders, folder);
  for (const std::string& map : sources.maps) add_file(map);
  for (const auto& certificate : sources.certificates) {
    add_file(certificate.chain);
    add_file(certificate.key);
  }
  add_file(sources.roots);
  add_file(config.run.tls.ticket_key_file);
  for (const auto& backend : config.run.backends) {
    add_file(backend.tls.ca);
    add_file(backend.tls.certificate);
    add_file(backend.tls.key);
    add_file(backend.users.path);
  }
  return needed;
}

GuardedFiles::GuardedFiles(const NeededFiles& needed) : files_asked_(needed.files), folders_asked_(needed.folders) {
  std::vector<std::string> folders = needed.folders;
  for (const std::string& file : needed.files) add_folder(folders, fs::path(file).parent_path());
  for (const std::string& folder : folders) {
    const Descriptor opened(open_path(folder));
    if (opened.get() >= 0) folders_real_.push_back(real_path(opened.get()));
  }
}

bool GuardedFiles::may_be_asked_for(const std::string& path) const {
  const std::string normal = fs::path(path).lexically_normal().string();
  return std::find(files_asked_.begin(), files_asked_.end(), normal) != files_asked_.end() ||
         is_within(normal, folders_asked_);
}

template <class T, class Use>
Result<T> GuardedFiles::guarded(const std::string& path, Use use) {
  if (!may_be_asked_for(path)) return fail("{}: lies under none of the configured sources", path);
  const Descriptor opened(open_path(path));
  if (opened.get() < 0) {
    const auto missing = files_->state(path);  // for its words
    return missing ? fail("{}: has changed meanwhile", path) : tl::unexpected(missing.error());
  }
  const std::string real = real_path(opened.get());
  if (!is_within(real, folders_real_)) {
    return fail("{}: a link leads to {}, which lies under none of the configured sources; name its folder in "
                "certificates.directories, too",
                path, real);
  }
  const std::string place = place_of(opened.get());
  auto used = use(place);
  if (used) return used;
  std::string text = used.error().text;
  if (text.starts_with(place)) text.replace(0, place.size(), path);
  return tl::unexpected(Error{std::move(text)});
}

Result<certs::FileState> GuardedFiles::state(const std::string& path) {
  return guarded<certs::FileState>(path, [this](const std::string& place) { return files_->state(place); });
}

Result<certs::FileContents> GuardedFiles::read(const std::string& path, std::size_t octets_max) {
  return guarded<certs::FileContents>(
      path, [this, octets_max](const std::string& place) { return files_->read(place, octets_max); });
}

Result<std::vector<certs::DirectoryEntry>> GuardedFiles::list(const std::string& path) {
  return guarded<std::vector<certs::DirectoryEntry>>(
      path, [this](const std::string& place) { return files_->list(place); });
}

std::optional<std::string> GuardedFiles::link_target(const std::string& path) {
  // The loader follows links by hand to see which folders to watch, also those on the way.
  const auto normal = fs::path(path).lexically_normal();
  if (!may_be_asked_for(path) && !is_within(normal.string(), folders_real_)) return std::nullopt;
  return files_->link_target(path);
}

}  // namespace postern::app
