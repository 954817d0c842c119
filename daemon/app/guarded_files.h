// FileSource for a process that may read more than it should show: only what lies under the configured sources.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/descriptor.h"
#include "base/result.h"
#include "certs/loader.h"
#include "config/config.h"

namespace postern::app {

struct NeededFiles {
  std::vector<std::string> folders;  ///< with all that is in them; beside a certbot `live` also `archive`
  std::vector<std::string> files;    ///< these alone; their links may lead to elsewhere in their own folders
  std::vector<std::string> maps;     ///< of `files`; the files that they name are needed, too
};
/// What a configuration names, and the system's trust anchors.
NeededFiles needed_files(const config::Config& config);
/// Where they lie: folders, also those to which certbot's links lead.
std::vector<std::string> folders_of(const NeededFiles& needed);

/// Paths that are looked for by parts of longer ones.
struct PathHash : std::hash<std::string_view> {
  using is_transparent = void;
};
using Paths = std::unordered_set<std::string, PathHash, std::equal_to<>>;

/// Every file and folder is opened before anything else is known of it, and must then really be where something needed
/// may be, wherever links have led. Of what lies elsewhere nothing is told, and it does not notice: what links may have
/// led to is opened with O_PATH, until it is known where that is. What may be there is opened without blocking; among it,
/// a FIFO that somebody has put there lets go of who waits to write into it, and is told of as no regular file.
/// Callable from any thread.
class GuardedFiles final : public certs::FileSource {
 public:
  explicit GuardedFiles(const NeededFiles& needed);

  Result<certs::FileState> state(const std::string& path) override;
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override;
  Result<certs::Listing> list(const std::string& path) override;
  std::optional<std::string> link_target(const std::string& path) override;

  /// In which all of them lie, also those that maps name.
  std::vector<std::string> folders() const;

 private:
  struct Named {
    Paths files;
    Paths folders;  // in which they are
  };

  Result<Descriptor> open(const std::string& path, int flags);
  Descriptor open_simple(const std::string& path, const std::string& normal, int flags);
  Result<Descriptor> open_anywhere(const std::string& path, const std::string& normal, int flags);
  bool is_named(const std::string& normal) const;
  bool is_near_named(std::string_view normal) const;
  bool may_really_be(const std::string& real, const std::string& normal);
  bool is_within_real(std::string_view path) const;
  void find_absent_folders();
  Result<certs::FileContents> read_file(const std::string& path, std::size_t octets_max);
  void learn_map(const std::string& normal, std::string_view text);
  static void add(Named& named, const std::string& file);

  Paths folders_;       // as configured
  mutable std::shared_mutex real_mutex_;
  Paths real_folders_;    // where they really are
  Paths absent_folders_;  // as configured, those of which that is not known yet
  Paths maps_;
  std::mutex reading_map_;  // held before named_mutex_: what is read last is what is known
  mutable std::shared_mutex named_mutex_;
  std::map<std::string, Named> named_;  // single files: by the map that names them, "" for the configuration
  std::unique_ptr<certs::FileSource> files_ = certs::make_local_file_source();
};

}  // namespace postern::app
