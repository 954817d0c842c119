// The rights of this process: as root it only begins.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace postern::app {

/// A user and a group of the system, looked up while that is still possible.
struct RunAs {
  uid_t user = 0;
  gid_t group = 0;
  std::string user_name;
};

/// `group` empty: the user's own.
Result<RunAs> find_run_as(const std::string& user, const std::string& group);

bool is_root();

/// Whether this process may read every file (CAP_DAC_READ_SEARCH).
bool reads_everything();

/// From here on no program that this process runs gains rights. For the threads that are made later, too.
void forbid_new_rights();

/// The folder becomes that of the user, and so do the files that lie in it and in its folders; links are not followed.
Result<void> give_folder(const std::string& folder, const RunAs& owner);

/// For all threads, without a way back, with no capability left.
Result<void> become(const RunAs& who);

/// CAP_DAC_READ_SEARCH goes; for a process of one thread.
Result<void> read_no_more_than_others();

/// For a process of one thread: of all capabilities only CAP_DAC_READ_SEARCH stays. With `who`, it becomes that user.
Result<void> become_reader(const std::optional<RunAs>& who);

}  // namespace postern::app
