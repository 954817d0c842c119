// Files → Snapshot. Blocking: called on a worker thread, never on a loop. Keeps what it read, so that a reload reads
// only what changed and a bad entry keeps its last good certificate (DESIGN promise 3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "certs/settings.h"
#include "certs/snapshot.h"

namespace postern::certs {

/// Identity of a file as stat(2) of its final target sees it: a changed one is read again.
struct FileState {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t mtime_ns = 0;
  friend bool operator==(const FileState&, const FileState&) = default;
};

struct FileContents {
  FileState state;
  std::string bytes;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;  ///< after following links
};

/// All access to certificate files goes through this interface, so that a privileged process can serve it later.
class FileSource {
 public:
  virtual ~FileSource() = default;
  virtual Result<FileState> state(const std::string& path) = 0;
  /// Regular files only, opened without blocking (a FIFO is an error, not a hang); at most 1 MiB for certificates and
  /// keys, `octets_max` otherwise.
  virtual Result<FileContents> read(const std::string& path, std::size_t octets_max) = 0;
  virtual Result<std::vector<DirectoryEntry>> list(const std::string& path) = 0;
};

/// Reads with the rights of this process.
std::unique_ptr<FileSource> make_local_file_source();

/// Something that is wrong with a source, in words for the operator: file, names, what, and what is served meanwhile.
struct Fault {
  enum class Severity { Warning, Error };
  Severity severity = Severity::Error;
  std::string source;  ///< the file or `[[certificate]]` concerned
  std::string text;
};

/// What a load changed against the one before.
struct Changes {
  std::vector<std::string> added;    ///< names
  std::vector<std::string> removed;
  std::vector<std::string> renewed;  ///< names whose certificate is another one now
};

struct LoadOutcome {
  std::shared_ptr<const Snapshot> snapshot;  ///< never null
  Changes changes;
  std::vector<Fault> faults;
  std::size_t files_read = 0;
  bool anything_changed = false;  ///< false: `snapshot` is the one before
};

class Loader {
 public:
  explicit Loader(std::unique_ptr<FileSource> files);
  ~Loader();

  LoadOutcome load(const SourceSettings& settings, WallTime now);

  /// Directories whose changes (inotify) call for a load(): of the sources and of link targets, as of the last load.
  std::vector<std::string> watched_directories() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace postern::certs
