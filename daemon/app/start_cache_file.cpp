#include "daemon/app/start_cache_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "daemon/session/state_file.h"

namespace postern::app {

namespace {

constexpr std::size_t unknown_min = 64;
constexpr std::size_t unknown_share = 50;  // one in so many

/// Device and inode numbers mean nothing on another machine.
std::string machine() {
  const auto id = session::read_state_file("/etc/machine-id");
  return id ? std::string(trimmed(*id)) : std::string();
}

}  // namespace

StartCacheFile::StartCacheFile(std::string path)
    : path_(std::move(path)), stamp_(fmt::format("postern {} {}", POSTERN_VERSION, machine())) {}

std::shared_ptr<const certs::StartCache> StartCacheFile::read(std::string& notice) const {
  std::error_code none;
  if (path_.empty() || !std::filesystem::exists(path_, none)) return nullptr;
  auto octets = session::read_state_file(path_);
  if (!octets) {
    notice = octets.error().text;
  } else if (auto cache = certs::StartCache::read(std::move(*octets), stamp_)) {
    return *cache;
  } else {
    notice = fmt::format("{}: {}", path_, cache.error().text);
  }
  notice += "; all certificates and keys are read and checked anew";
  return nullptr;
}

bool StartCacheFile::is_due(std::size_t read_anew, std::size_t items) {
  unknown_ += read_anew;
  if (path_.empty() || unknown_ == 0) return false;
  return !written_ || unknown_ > std::max(unknown_min, items / unknown_share);
}

void StartCacheFile::write(uv::WorkPool& pool, certs::Remembered remembered) {
  auto job = [path = path_, stamp = stamp_, outcome = outcome_,
              remembered = std::make_shared<certs::Remembered>(std::move(remembered))] {
    const auto done =
        session::replace_file(path, certs::encode_start_cache(*remembered, stamp), session::Readers::Owner);
    remembered->items.clear();
    const std::lock_guard lock(outcome->mutex);
    outcome->problem = done ? std::string() : done.error().text;
  };
  if (!pool.submit(std::move(job))) return;  // the next look tries again
  written_ = true;
  unknown_ = 0;
}

std::string StartCacheFile::problem() const {
  const std::lock_guard lock(outcome_->mutex);
  return outcome_->problem;
}

}  // namespace postern::app
