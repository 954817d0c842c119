#include "daemon/app/certificate_map.h"

#include <fmt/format.h>

#include <utility>

namespace postern::app {

namespace {
constexpr std::size_t keys_at_once = 4096;  // some 100 ms of two cores
}  // namespace

CertificateMap::CertificateMap(std::shared_ptr<certs::FileSource> files, const std::string& state_folder)
    : files_(std::move(files)),
      history_(state_folder.empty() ? std::string() : state_folder + "/certs"),
      cache_(state_folder.empty() ? std::string() : state_folder + "/certs/cache"),
      loader_(std::make_unique<certs::Loader>(files_, history_.last_version() + 1)),
      live_(certs::empty_snapshot()),
      newest_(live_) {}

MapNews CertificateMap::start(const certs::SourceSettings& settings, WallTime now, tls::KeyCheck keys,
                              std::string& notice) {
  MapNews news;
  loader_->remember(cache_.read(notice));
  news.loaded = loader_->load(settings, now, executor_, keys);
  read_anew_ = news.loaded.items_read_anew;
  news.changes = news.loaded.changes;
  newest_ = news.loaded.snapshot;
  faults_ = news.loaded.standing.size();
  return news;
}

Result<certs::Changes> CertificateMap::begin_history(WallTime now) {
  auto changes = history_.begin(*newest_, faults_, now);
  keeps_history_ = changes.has_value();
  return changes;
}

void CertificateMap::keep_for_next_start() {
  if (!keeps_history_ || has_keys_to_prove()) return;
  if (cache_.is_due(std::exchange(read_anew_, 0), newest_->certificate_count())) {
    cache_.write(pool_, loader_->remembered());
  }
}

MapNews CertificateMap::look(const certs::SourceSettings& settings, const CertificateLook& where, WallTime now) {
  auto loaded = where.everywhere ? loader_->load(settings, now, executor_)
                                 : loader_->load_touched(where.folders, now, executor_);
  return take(std::move(loaded), settings, now);
}

std::optional<MapNews> CertificateMap::prove_some_keys(const certs::SourceSettings& settings, WallTime now) {
  auto loaded = loader_->prove_keys(keys_at_once, now, executor_);
  if (!loaded) return std::nullopt;
  return take(std::move(*loaded), settings, now);
}

MapNews CertificateMap::take(certs::LoadOutcome loaded, const certs::SourceSettings& settings, WallTime now) {
  read_anew_ += loaded.items_read_anew;
  if (!loaded.anything_changed) return {.loaded = std::move(loaded), .changes = {}, .loss = {}};
  MapNews news = judge(std::move(loaded), settings);
  write_down(news.loaded, now);
  return news;
}

CertificateMap::Trial CertificateMap::attempt(const certs::SourceSettings& settings, WallTime now) {
  Trial trial;
  trial.loader = loader_->copy();
  trial.news = judge(trial.loader->load(settings, now, executor_), settings);
  return trial;
}

std::string CertificateMap::adopt(Trial trial, WallTime now) {
  loader_ = std::move(trial.loader);
  read_anew_ += trial.news.loaded.items_read_anew;
  write_down(trial.news.loaded, now);
  return history_problem_;
}

/// While the live map is that of the last load, what the load changed is the difference: nothing has to be compared.
MapNews CertificateMap::judge(certs::LoadOutcome loaded, const certs::SourceSettings& settings) const {
  MapNews news;
  news.changes = live_ == newest_ ? loaded.changes : difference(*live_, *loaded.snapshot);
  const auto lost = news.changes.removed.size();
  if (certs::loses_too_much(lost, live_->name_count(), settings.max_loss)) {
    news.loss = fmt::format("map version {} lacks {} of the {} names that are served, more than max_loss = {} percent: "
                            "it is held back; `postern reload --accept-loss` lets it pass",
                            loaded.snapshot->version(), lost, live_->name_count(), settings.max_loss);
  }
  news.loaded = std::move(loaded);
  return news;
}

void CertificateMap::write_down(const certs::LoadOutcome& loaded, WallTime now) {
  newest_ = loaded.snapshot;
  faults_ = loaded.standing.size();
  if (!keeps_history_ || !loaded.anything_changed) return;
  const auto done = history_.add(*loaded.snapshot, loaded.changes, faults_, now);
  history_problem_ = done ? std::string() : done.error().text;
}

Result<RestoredMap> CertificateMap::go_back(std::uint64_t version) {
  const auto stored = history_.read(version);
  if (!stored) return fail_with(stored.error());
  auto restored = restore(*stored, *live_, *files_);
  if (restored.snapshot->name_count() == 0) return fail("version {} has no name that can be served now", version);
  if (history_.pinned() != version) {
    if (auto done = history_.pin(version); !done) return fail_with(done.error());
  }
  pinned_ = version;
  return restored;
}

void CertificateMap::unpin() {
  if (std::exchange(pinned_, 0) != 0) (void)history_.pin(0);
}

}  // namespace postern::app
