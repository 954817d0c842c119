// The certificate map of this process on its way from files to what is served: loading, the judgement whether a new
// map may go live, its history, and going back. Blocking: everything here belongs to the loading thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/instant.h"
#include "certs/loader.h"
#include "daemon/app/map_history.h"
#include "daemon/app/parallel.h"
#include "daemon/app/start_cache_file.h"
#include "daemon/uv/work_pool.h"

namespace postern::app {

/// Where certificates may have changed.
struct CertificateLook {
  bool everywhere = false;
  std::vector<certs::FolderChange> folders;  ///< else, of those that the loader watches
};

/// What a load found.
struct MapNews {
  certs::LoadOutcome loaded;
  certs::Changes changes;  ///< against the map that is live
  std::string loss;        ///< why it must not go live by itself; empty: it may
};

class CertificateMap {
 public:
  /// `state_folder` is where the history and the cache of the start are kept. An empty one: there are none.
  CertificateMap(std::shared_ptr<certs::FileSource> files, const std::string& state_folder);

  /// The first load, of which everything may go live. `notice`, if it is set, is for the operator. With KeyCheck::Claim,
  /// prove_some_keys() has to follow as long as there are any.
  MapNews start(const certs::SourceSettings& settings, WallTime now, tls::KeyCheck keys, std::string& notice);
  /// See Loader::prove_keys(): a piece of that work.
  std::optional<MapNews> prove_some_keys(const certs::SourceSettings& settings, WallTime now);
  bool has_keys_to_prove() const { return loader_->has_keys_to_prove(); }

  /// Writes down the map of the start. Returns what has changed since this was done last, in an earlier process.
  Result<certs::Changes> begin_history(WallTime now);

  /// Writes down what was found out, for the next start, when enough of it is new. Once the history has begun and all keys
  /// are proven.
  void keep_for_next_start();
  std::string cache_problem() const { return cache_.problem(); }

  /// What renewed certificates have to pass from now on.
  void set_gate(certs::Gate gate) { loader_->set_gate(std::move(gate)); }

  /// Looks for changes by itself.
  MapNews look(const certs::SourceSettings& settings, const CertificateLook& where, WallTime now);

  /// A load whose outcome is thrown away unless it is adopted.
  struct Trial {
    std::unique_ptr<certs::Loader> loader;
    MapNews news;
  };
  Trial attempt(const certs::SourceSettings& settings, WallTime now);
  /// Makes the trial's knowledge that of this map. Returns what went wrong with writing it down; empty: nothing.
  std::string adopt(Trial trial, WallTime now);

  /// To be told of each snapshot that is published.
  void went_live(std::shared_ptr<const certs::Snapshot> snapshot) { live_ = std::move(snapshot); }
  const std::shared_ptr<const certs::Snapshot>& live() const { return live_; }
  /// That of the last load.
  const std::shared_ptr<const certs::Snapshot>& newest() const { return newest_; }

  /// A version that was kept, and the pin on it; the caller publishes it.
  Result<RestoredMap> go_back(std::uint64_t version);
  void unpin();
  std::uint64_t pinned() const { return pinned_; }

  /// See WorkPool::rest().
  void rest() { pool_.rest(); }
  /// See WorkPool::stop(): what is being written is written whole, and nothing may be asked for any more.
  void stop() { pool_.stop(); }

  const certs::Loader& loader() const { return *loader_; }
  const MapHistory& history() const { return history_; }
  /// What went wrong when the last map was written down; empty: nothing.
  const std::string& history_problem() const { return history_problem_; }

 private:
  MapNews take(certs::LoadOutcome loaded, const certs::SourceSettings& settings, WallTime now);
  MapNews judge(certs::LoadOutcome loaded, const certs::SourceSettings& settings) const;
  void write_down(const certs::LoadOutcome& loaded, WallTime now);

  std::shared_ptr<certs::FileSource> files_;
  MapHistory history_;
  StartCacheFile cache_;
  std::size_t read_anew_ = 0;  // since keep_for_next_start()
  bool keeps_history_ = false;
  std::string history_problem_;
  std::unique_ptr<certs::Loader> loader_;
  std::shared_ptr<const certs::Snapshot> live_, newest_;
  std::size_t faults_ = 0;  // of the newest
  std::uint64_t pinned_ = 0;

  uv::WorkPool pool_{{.name = "parse", .threads = helper_count(), .queue_max = 64, .nice = 5}};
  certs::Executor executor_ = on_pool(pool_, helper_count());
};

}  // namespace postern::app
