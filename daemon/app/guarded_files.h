// FileSource for a process that may read more than it should show: only what lies under the configured sources.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "certs/loader.h"
#include "config/config.h"

namespace postern::app {

struct NeededFiles {
  std::vector<std::string> folders;  ///< with all that is in them; beside a certbot `live` also `archive`
  std::vector<std::string> files;    ///< these alone; their links may lead to elsewhere in their own folders
};
/// What a configuration names.
NeededFiles needed_files(const config::Config& config);

/// Every file and folder is opened before anything else is known of it, without side effects and without blocking, and
/// must then really be where something needed may be, wherever links have led: of what lies elsewhere nothing is told.
class GuardedFiles final : public certs::FileSource {
 public:
  explicit GuardedFiles(const NeededFiles& needed);

  Result<certs::FileState> state(const std::string& path) override;
  Result<certs::FileContents> read(const std::string& path, std::size_t octets_max) override;
  Result<std::vector<certs::DirectoryEntry>> list(const std::string& path) override;
  std::optional<std::string> link_target(const std::string& path) override;

 private:
  template <class T, class Use>
  Result<T> guarded(const std::string& path, Use use);
  bool may_be_asked_for(const std::string& path) const;

  std::vector<std::string> files_asked_, folders_asked_;  // as configured
  std::vector<std::string> folders_real_;                 // as they really are, and the folders of the files
  std::unique_ptr<certs::FileSource> files_ = certs::make_local_file_source();
};

}  // namespace postern::app
