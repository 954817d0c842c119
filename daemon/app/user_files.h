// The files that list the recipients of backends: which of them have changed, and what they say. Blocking: on the
// loading thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "certs/loader.h"
#include "delivery/settings.h"
#include "delivery/user_list.h"

namespace postern::app {

class UserFiles {
 public:
  explicit UserFiles(std::shared_ptr<certs::FileSource> files);

  struct Outcome {
    delivery::UserLists lists;           ///< of every backend whose file was ever good
    std::vector<std::string> missing;    ///< a sentence for each backend that has no list at all
    std::vector<std::string> faults;     ///< what is wrong and was not so at the look before: to be logged
    std::vector<std::string> standing;   ///< all that is wrong now
    std::vector<std::string> warnings;   ///< about what was read now
    std::vector<std::string> news;       ///< what was read now, in a sentence each
  };

  /// Looks at the files of these backends and reads those that have changed. A bad file, and one that has gone, leave the
  /// list that was read before.
  Outcome load(const std::vector<delivery::BackendSettings>& backends);

  /// Files that none of these backends names are forgotten.
  void forget_others(const std::vector<delivery::BackendSettings>& backends);

  /// Whose changes call for a load().
  std::vector<std::string> directories() const;

 private:
  struct File {
    std::optional<certs::FileState> state;  // as it was read
    std::shared_ptr<const delivery::UserList> list;
    std::vector<std::string> faults;
  };
  void look(const delivery::UserFile& settings, File& file, Outcome& outcome);
  void read(const delivery::UserFile& settings, File& file, Outcome& outcome);

  std::shared_ptr<certs::FileSource> files_;
  std::map<delivery::UserFile, File> known_;
};

}  // namespace postern::app
