#include "daemon/app/map_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "certs/loader.h"
#include "certs/pem.h"
#include "daemon/session/state_file.h"
#include "tls/pem.h"

namespace postern::app {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view whole_suffix = ".map";
constexpr std::string_view change_suffix = ".change";
constexpr std::string_view pin_name = "pinned";
constexpr std::uint64_t changes_octets_min = 64 * 1024;  // before a whole map is written again
constexpr std::size_t changes_max = 1000;
constexpr std::size_t key_octets_max = 1024 * 1024;

/// Where links lead now: certbot's privkey.pem will lead to another file after the next renewal, and this one stays.
void add_link_targets(certs::VersionFile& file) {
  for (auto& [digest, certificate] : file.certificates) {
    std::vector<std::string> targets;
    for (const auto& path : certificate.key_files) {
      std::error_code none;
      auto target = fs::canonical(path, none).string();
      if (!none && target != path) targets.push_back(std::move(target));
    }
    certificate.key_files.insert(certificate.key_files.begin(), targets.begin(), targets.end());
  }
}

}  // namespace

MapHistory::MapHistory(std::string folder) : folder_(std::move(folder)) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_, none)) {
    const auto suffix = entry.path().extension().string();
    const auto version = parse_decimal(entry.path().stem().string());
    if (!version || (suffix != whole_suffix && suffix != change_suffix)) continue;
    std::error_code unknown;
    const auto octets = entry.file_size(unknown);
    versions_.push_back({*version, suffix == whole_suffix, unknown ? 0 : octets});
  }
  std::sort(versions_.begin(), versions_.end(), [](const Kept& a, const Kept& b) { return a.version < b.version; });
}

std::string MapHistory::path_of(const Kept& kept) const {
  return fmt::format("{}/{}{}", folder_, kept.version, kept.whole ? whole_suffix : change_suffix);
}

Result<certs::Changes> MapHistory::begin(const certs::Snapshot& snapshot, std::size_t faults, WallTime now) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return fail("{}: {}", folder_, error.message());
  certs::Changes changes;
  const auto before = versions_.empty() ? Result<certs::VersionFile>(fail("none")) : read(versions_.back().version);
  if (before) {
    changes = difference(*before, snapshot);
    if (auto done = add(snapshot, changes, faults, now); !done) return fail_with(done.error());
    return changes;
  }
  auto whole = certs::whole_version(snapshot);
  whole.summary.time = now;
  whole.summary.faults = faults;
  if (auto done = write(std::move(whole)); !done) return fail_with(done.error());
  return changes;
}

Result<void> MapHistory::add(const certs::Snapshot& snapshot, const certs::Changes& changes, std::size_t faults,
                             WallTime now) {
  auto file = whole_is_due() ? certs::whole_version(snapshot)
                             : certs::changed_version(snapshot, versions_.back().version, changes);
  file.summary.time = now;
  file.summary.added = changes.added.size();
  file.summary.removed = changes.removed.size();
  file.summary.renewed = changes.renewed.size();
  file.summary.worse = changes.worse.size();
  file.summary.faults = faults;
  return write(std::move(file));
}

bool MapHistory::whole_is_due() const {
  const auto whole = std::find_if(versions_.rbegin(), versions_.rend(), [](const Kept& kept) { return kept.whole; });
  if (whole == versions_.rend()) return true;
  std::uint64_t octets = 0;
  for (auto change = versions_.rbegin(); change != whole; ++change) octets += change->octets;
  return octets > std::max(whole->octets, changes_octets_min) ||
         static_cast<std::size_t>(whole - versions_.rbegin()) > changes_max;
}

Result<void> MapHistory::write(certs::VersionFile file) {
  add_link_targets(file);
  const auto octets = certs::encode(file);
  const Kept kept{file.summary.version, file.base == 0, octets.size()};
  if (auto done = session::replace_file(path_of(kept), octets); !done) return done;
  versions_.push_back(kept);
  drop_old();
  return {};
}

/// All that is older than what the oldest version to be kept is made from.
void MapHistory::drop_old() {
  if (versions_.size() <= versions_kept) return;
  auto first = versions_.end() - static_cast<std::ptrdiff_t>(versions_kept);
  while (first != versions_.begin() && !first->whole) --first;
  for (auto old = versions_.begin(); old != first; ++old) {
    std::error_code gone;
    fs::remove(path_of(*old), gone);
  }
  versions_.erase(versions_.begin(), first);
}

std::vector<certs::VersionSummary> MapHistory::list() const {
  std::vector<certs::VersionSummary> summaries;
  const auto count = std::min(versions_kept, versions_.size());
  for (auto kept = versions_.end() - static_cast<std::ptrdiff_t>(count); kept != versions_.end(); ++kept) {
    std::ifstream in(path_of(*kept), std::ios::binary);
    std::string head(512, '\0');
    in.read(head.data(), static_cast<std::streamsize>(head.size()));
    head.resize(static_cast<std::size_t>(in.gcount()));
    if (auto summary = certs::decode_summary(head)) summaries.push_back(*summary);
  }
  return summaries;
}

Result<certs::VersionFile> MapHistory::read(std::uint64_t version) const {
  const auto wanted = std::find_if(versions_.begin(), versions_.end(),
                                   [&](const Kept& kept) { return kept.version == version; });
  if (wanted == versions_.end()) {
    return fail("there is no version {} of the certificate map; kept are {} to {}", version,
                versions_.empty() ? 0 : versions_.front().version, last_version());
  }
  auto step = wanted;
  while (step != versions_.begin() && !step->whole) --step;
  std::optional<certs::VersionFile> whole;
  for (; step <= wanted; ++step) {
    const auto octets = session::read_state_file(path_of(*step));
    if (!octets) return fail_with(octets.error());
    auto read = certs::decode_version(*octets);
    if (!read) return fail("{}: {}", path_of(*step), read.error().text);
    if (read->base == 0) {
      whole = std::move(*read);
    } else if (!whole || whole->summary.version != read->base) {
      return fail("{}: version {}, which it was made from, is missing", path_of(*step), read->base);
    } else {
      apply(*read, *whole);
    }
  }
  return std::move(*whole);
}

Result<void> MapHistory::pin(std::uint64_t version) {
  const std::string path = fmt::format("{}/{}", folder_, pin_name);
  if (version != 0) return session::replace_file(path, fmt::format("{}\n", version));
  std::error_code error;
  fs::remove(path, error);
  if (error) return fail("{}: {}", path, error.message());
  return {};
}

std::uint64_t MapHistory::pinned() const {
  const auto text = session::read_state_file(fmt::format("{}/{}", folder_, pin_name));
  return text ? parse_decimal(trimmed(*text)).value_or(0) : 0;
}

namespace {

using CredentialRef = std::shared_ptr<const tls::Credential>;

/// Finds the credentials of a version, each once.
class Restorer {
 public:
  Restorer(const certs::VersionFile& version, const certs::Snapshot& live, certs::FileSource& files)
      : version_(version), live_(live), files_(files) {
    live.each([this](std::string_view, const certs::Entry& entry) {
      for (const auto& credential : {entry.ecdsa, entry.rsa}) {
        if (credential) found_.emplace(credential->leaf.fingerprint, credential);
      }
    });
  }

  RestoredMap restore() {
    std::vector<std::pair<std::string, certs::Entry>> entries;
    RestoredMap restored;
    for (const auto& [key, stored] : version_.entries) {
      const certs::Entry* now = live_.find_key(key);
      certs::Entry entry;
      std::string why;
      if (stored.ecdsa) entry.ecdsa = credential(*stored.ecdsa, now, why);
      if (stored.rsa) entry.rsa = credential(*stored.rsa, now, why);
      if (!why.empty()) restored.missing.push_back(fmt::format("{}: {}", key, why));
      if (entry.empty() && now != nullptr) entry = *now;
      if (!entry.empty()) entries.emplace_back(key, std::move(entry));
    }
    restored.snapshot = certs::make_snapshot(entries, live_.index().ids, version_.summary.version);
    return restored;
  }

 private:
  CredentialRef credential(const tls::Digest& digest, const certs::Entry* now, std::string& why) {
    if (const auto known = found_.find(digest); known != found_.end()) return known->second;
    const auto failed = failures_.find(digest);
    if (failed != failures_.end()) {
      why = failed->second;
      return nullptr;
    }
    auto made = make(digest, now);
    if (made) return found_[digest] = std::move(*made);
    why = failures_[digest] = made.error().text;
    return nullptr;
  }

  /// Of a certificate that is loaded lazily only the digest is kept.
  static Result<CredentialRef> still_there(const tls::Digest& digest, const certs::Entry* now) {
    if (now != nullptr) {
      for (const auto& credential : {now->ecdsa, now->rsa}) {
        if (credential && credential->leaf.fingerprint == digest) return credential;
      }
    }
    return fail("its certificate was not kept, because it was loaded lazily");
  }

  Result<CredentialRef> make(const tls::Digest& digest, const certs::Entry* now) {
    const auto stored = version_.certificates.find(digest);
    if (stored == version_.certificates.end()) return fail("its certificate was not kept");
    const auto& certificate = stored->second;
    if (certificate.chain.empty()) return still_there(digest, now);
    std::vector<std::string> paths = certificate.key_files;
    if (now != nullptr) {
      for (const auto& credential : {now->ecdsa, now->rsa}) {
        if (credential) paths.insert(paths.end(), credential->key_files.begin(), credential->key_files.end());
      }
    }
    std::string chain;
    for (const auto& der : certificate.chain) chain += tls::to_pem("CERTIFICATE", der);
    std::string why = "no key file is known";
    for (const auto& path : paths) {
      const auto key = files_.read(path, key_octets_max);
      if (!key) {
        why = key.error().text;
        continue;
      }
      for (const auto& group : certs::pem_groups({key->bytes})) {
        if (!group.has_key) continue;
        auto made = tls::make_credential(chain, certificate.source, group.text, path);
        if (made) {
          (*made)->key_files = {path};
          return CredentialRef(std::move(*made));
        }
        why = made.error().text;
      }
    }
    return fail("{}", why);
  }

  const certs::VersionFile& version_;
  const certs::Snapshot& live_;
  certs::FileSource& files_;
  std::map<tls::Digest, CredentialRef> found_;
  std::map<tls::Digest, std::string> failures_;
};

}  // namespace

RestoredMap restore(const certs::VersionFile& version, const certs::Snapshot& live, certs::FileSource& files) {
  return Restorer(version, live, files).restore();
}

}  // namespace postern::app
