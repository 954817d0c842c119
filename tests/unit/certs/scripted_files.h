// A FileSource in memory, which a test changes between two loads.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "certs/loader.h"
#include "tests/support/test_ca.h"

namespace postern::test {

class ScriptedFiles {
 public:
  void put(const std::string& path, std::string bytes) {
    const std::lock_guard lock(mutex_);
    ++inode_;
    files_[path] = {{1, inode_, bytes.size(), static_cast<std::int64_t>(inode_)}, std::move(bytes)};
    broken_.erase(path);
  }
  /// A pair as certbot keeps it.
  void put_pair(const std::string& folder, const Issued& issued) {
    put(folder + "/fullchain.pem", issued.chain_pem());
    put(folder + "/privkey.pem", issued.key_pem);
  }
  void remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    files_.erase(path);
    std::erase_if(files_, [&](const auto& file) { return file.first.starts_with(path + "/"); });
  }
  /// Every access to the file or folder fails with this.
  void break_path(const std::string& path, std::string error) {
    const std::lock_guard lock(mutex_);
    broken_[path] = std::move(error);
  }
  void mend(const std::string& path) {
    const std::lock_guard lock(mutex_);
    broken_.erase(path);
  }
  /// When the file was changed last, since 1970: long ago unless this says otherwise.
  void set_time(const std::string& path, std::chrono::nanoseconds time) {
    const std::lock_guard lock(mutex_);
    files_.at(path).state.mtime_ns = time.count();
  }
  /// Other octets under the same state: what a clock that stands still for some milliseconds makes possible.
  void put_unseen(const std::string& path, std::string bytes) {
    const std::lock_guard lock(mutex_);
    files_.at(path).bytes = std::move(bytes);
  }
  void put_dangling_link(const std::string& path) {
    put(path, "");
    const std::lock_guard lock(mutex_);
    dangling_.insert(path);
  }
  /// What stat(2) says of a folder; without it, it says nothing.
  void set_folder_state(const std::string& path, certs::FileState state) {
    const std::lock_guard lock(mutex_);
    folders_[path] = state;
  }
  /// Folders that were listed since this was asked last.
  std::vector<std::string> listings() {
    const std::lock_guard lock(mutex_);
    return std::exchange(listings_, {});
  }
  std::vector<std::string> reads() {
    const std::lock_guard lock(mutex_);
    return std::exchange(reads_, {});
  }

  /// A window on these files for a Loader; this object must outlive it.
  std::unique_ptr<certs::FileSource> source() { return std::make_unique<Window>(*this); }

 private:
  class Window : public certs::FileSource {
   public:
    explicit Window(ScriptedFiles& files) : files_(files) {}
    Result<certs::FileState> state(const std::string& path) override { return files_.state(path); }
    Result<certs::FileContents> read(const std::string& path, std::size_t) override { return files_.read(path); }
    Result<certs::Listing> list(const std::string& path) override { return files_.list(path); }
    std::optional<std::string> link_target(const std::string&) override { return std::nullopt; }

   private:
    ScriptedFiles& files_;
  };

  Result<certs::FileState> state(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (const auto broken = broken_.find(path); broken != broken_.end()) return fail("{}: {}", path, broken->second);
    if (const auto folder = folders_.find(path); folder != folders_.end()) return folder->second;
    const auto file = files_.find(path);
    if (file == files_.end()) return fail("{}: does not exist", path);
    return file->second.state;
  }
  Result<certs::FileContents> read(const std::string& path) {
    const auto known = state(path);
    if (!known) return fail_with(known.error());
    const std::lock_guard lock(mutex_);
    reads_.push_back(path);
    return files_.at(path);
  }
  Result<certs::Listing> list(const std::string& path) {
    const std::lock_guard lock(mutex_);
    if (const auto broken = broken_.find(path); broken != broken_.end()) return fail("{}: {}", path, broken->second);
    listings_.push_back(path);
    std::map<std::string, bool> names;
    for (const auto& [file, contents] : files_) {
      if (!file.starts_with(path + "/")) continue;
      const auto rest = file.substr(path.size() + 1);
      const auto slash = rest.find('/');
      names[rest.substr(0, slash)] = slash != std::string::npos;
    }
    if (names.empty()) return fail("{}: does not exist", path);
    certs::Listing listing;
    if (const auto folder = folders_.find(path); folder != folders_.end()) listing.state = folder->second;
    for (const auto& [name, is_directory] : names) {
      listing.entries.push_back({name, is_directory, false, dangling_.contains(path + "/" + name)});
    }
    return listing;
  }

  std::mutex mutex_;
  std::map<std::string, certs::FileContents> files_;
  std::map<std::string, std::string> broken_;
  std::map<std::string, certs::FileState> folders_;
  std::set<std::string> dangling_;
  std::vector<std::string> reads_, listings_;
  std::uint64_t inode_ = 0;
};

}  // namespace postern::test
