// Files → Snapshot. Blocking: called on a worker thread, never on a loop. Keeps what it read, so that a reload reads
// only what changed and a bad entry keeps its last good certificate (DESIGN promise 3).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "certs/difference.h"
#include "certs/fault.h"
#include "certs/listing.h"
#include "certs/settings.h"
#include "certs/snapshot.h"

namespace postern::certs {

/// Identity of a file as stat(2) of its final target sees it: a changed one is read again. The time of the last change
/// of the inode is there because no program can set it: a file that is replaced by `cp --preserve` or `rsync --times`
/// may keep its size and time of modification.
struct FileState {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  friend bool operator==(const FileState&, const FileState&) = default;
};

struct FileContents {
  FileState state;
  std::string bytes;
};

struct DirectoryEntry {
  std::string name;
  bool is_directory = false;  ///< after following links
  bool may_be_link = false;   ///< false: link_target() would say nothing
  bool dangling = false;      ///< a link to nothing: what it will be is not known yet
};

struct Listing {
  std::optional<FileState> state;  ///< of the folder, as it was before it was read; nothing where that says nothing
  std::vector<DirectoryEntry> entries;
};

/// Something that a FileSource is going to be asked.
struct Wish {
  enum class What : std::uint8_t { State, Read, List, LinkTarget };
  What what = What::State;
  std::string path;
  std::uint64_t octets_max = 0;  ///< of Read
};

/// A folder in which something happened: `names` are those of all that was touched in it, if that is known.
struct FolderChange {
  std::string folder;
  std::optional<std::set<std::string>> names = {};
};

/// All access to certificate files goes through this interface, so that a privileged process can serve it. Errors begin
/// with the path. With an Executor that uses several threads, it is called from them.
class FileSource {
 public:
  virtual ~FileSource() = default;
  virtual Result<FileState> state(const std::string& path) = 0;
  /// Like state(), for what need not be there: says no more than that.
  virtual bool exists(const std::string& path) { return state(path).has_value(); }
  /// Regular files only, opened without blocking (a FIFO is an error, not a hang); at most 1 MiB for certificates and
  /// keys, `octets_max` otherwise.
  virtual Result<FileContents> read(const std::string& path, std::size_t octets_max) = 0;
  virtual Result<Listing> list(const std::string& path) = 0;
  /// Where a symbolic link points to, as it is written in the link; nothing for what is no link.
  virtual std::optional<std::string> link_target(const std::string& path) = 0;
  /// For one thread, a source that has asked all these questions at once: it answers them from what it knows, and passes
  /// on all others. Null where that saves nothing: then nobody has to say what will be asked. This one must outlive it.
  using Wishes = std::function<std::vector<Wish>()>;
  virtual std::unique_ptr<FileSource> ahead(const Wishes& /*wishes*/) { return nullptr; }
};

/// Reads with the rights of this process.
std::unique_ptr<FileSource> make_local_file_source();

class StartCache;
struct Remembered;

struct LoadOutcome {
  std::shared_ptr<const Snapshot> snapshot;  ///< never null
  Changes changes;
  std::vector<Fault> faults;    ///< that the load before did not have: to be logged
  std::vector<Fault> standing;  ///< all that is wrong now, old and new: to be shown to who asks
  std::size_t files_read = 0;
  std::size_t items_read_anew = 0;  ///< certificates (or groups of them) whose files were read and checked
  std::size_t items_remembered = 0;  ///< that a StartCache told of
  /// Something is gone that was there before, and is still served: load again at this time or later. It goes when it
  /// is gone then, too (a file that is being replaced, or a folder being mounted, comes back).
  std::optional<WallTime> look_again;
  std::vector<std::string> look_again_at;  ///< these folders are enough then
  bool anything_changed = false;  ///< false: `snapshot` is the one before
  bool folders_changed = false;   ///< watched_directories() may be another list now
};

using Tasks = std::vector<std::function<void()>>;

/// Runs all the tasks, on as many threads as it likes, and returns when the last one has ended. The tasks share nothing
/// but the FileSource.
using Executor = std::function<void(Tasks& tasks)>;
void run_inline(Tasks& tasks);

class Anchors;

/// Asked before a certificate takes the place of others that are served, with the same names or not: why it must not yet.
/// Then those stay, and it is asked again at each load. On one thread at a time, of those that the Executor uses; of a
/// trial, too.
using Gate = std::function<std::optional<std::string>(const tls::Credential& renewed, const tls::Credential& served)>;

class Loader {
 public:
  /// `first_version` is the one of the first snapshot.
  explicit Loader(std::shared_ptr<FileSource> files, std::uint64_t first_version = 1);
  ~Loader();

  /// Another loader with the same knowledge and the same last snapshot: for a load whose outcome may be thrown away, so
  /// that nothing, not even a last good certificate, is lost by it.
  std::unique_ptr<Loader> copy() const;

  /// Looks at everything that the settings name. A removal counts when it is seen in two looks `removal_delay` apart.
  /// With KeyCheck::Claim, a start does not wait until 10^5 keys are decoded; prove_keys() has to follow.
  LoadOutcome load(const SourceSettings& settings, WallTime now, const Executor& executor = run_inline,
                   tls::KeyCheck keys = tls::KeyCheck::Whole);
  /// Looks only at what is in these folders, of those that watched_directories() gave, and at what is to be decided by
  /// now; with the settings of the last load(). What it costs does not depend on how many certificates there are, but
  /// for one walk through memory.
  LoadOutcome load_changed(const std::vector<std::string>& folders, WallTime now,
                           const Executor& executor = run_inline);
  /// The same, but of a folder with many certificates only what was touched is looked at, where that is enough: files that
  /// have taken the place of others. Listing 10^5 of them takes a second.
  LoadOutcome load_touched(const std::vector<FolderChange>& changes, WallTime now,
                           const Executor& executor = run_inline);
  static constexpr std::chrono::seconds removal_delay{2};

  /// Decodes the keys of the next `items_max` items of which they are only believed to fit. One that does not is a fault,
  /// and its certificate is served no more; then there is an outcome.
  std::optional<LoadOutcome> prove_keys(std::size_t items_max, WallTime now, const Executor& executor = run_inline);
  bool has_keys_to_prove() const;

  /// For the next loads; copies have it, too. None: all may go live.
  void set_gate(Gate gate);

  /// What an earlier process has found out, for the next load.
  void remember(std::shared_ptr<const StartCache> cache);
  /// What this one has found out, for a later process; not of keys that are only believed. Shares the certificates: it is to be encoded beside this thread.
  Remembered remembered() const;

  /// What the sources hold, in the order in which it was found first: at most about `rows_max` rows (those of one item
  /// stay together), from where the page before ended. `live` is the snapshot that is served now, which may be another
  /// one than that of the last load.
  RowPage rows(const Snapshot& live, const RowFilter& filter, std::uint64_t from, std::size_t rows_max,
               WallTime now) const;
  /// Which certificate a client gets that asks for the name, and why.
  Explanation explain(const Snapshot& live, const DnsName& name, WallTime now) const;

  /// The trust anchors as of the last load; null: there are none.
  std::shared_ptr<const Anchors> anchors() const;

  /// Directories whose changes (inotify) call for a load(): of the sources and of link targets, as of the last load.
  std::vector<std::string> watched_directories() const;

 private:
  struct State;
  explicit Loader(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

}  // namespace postern::certs
