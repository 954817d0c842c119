#include "certs/version_file.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "certs/binary.h"

namespace postern::certs {

namespace {

constexpr std::string_view magic = "postern certificate map 1\n";
void write_summary(BinaryWriter& out, const VersionSummary& summary) {
  out.number(summary.version);
  out.number(static_cast<std::uint64_t>(summary.time.time_since_epoch().count()));
  for (const auto value : {summary.names, summary.certificates, summary.added, summary.removed, summary.renewed,
                           summary.worse, summary.faults}) {
    out.number(value);
  }
}

VersionSummary read_summary(BinaryReader& in) {
  VersionSummary summary;
  summary.version = in.number();
  summary.time = WallTime(std::chrono::seconds(static_cast<std::int64_t>(in.number())));
  for (auto* value : {&summary.names, &summary.certificates, &summary.added, &summary.removed, &summary.renewed,
                      &summary.worse, &summary.faults}) {
    *value = in.number();
  }
  return summary;
}

std::optional<tls::Digest> store(VersionFile& file, const std::shared_ptr<const tls::Credential>& credential) {
  if (!credential) return std::nullopt;
  const auto [stored, is_new] = file.certificates.try_emplace(credential->leaf.fingerprint);
  if (is_new) {
    for (const auto& buffer : credential->chain) {
      stored->second.chain.emplace_back(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer.get())),
                                        CRYPTO_BUFFER_len(buffer.get()));
    }
    stored->second.source = credential->source;
    stored->second.key_files = credential->key_files;
  }
  return credential->leaf.fingerprint;
}

void store(VersionFile& file, std::string_view key, const Entry& entry) {
  file.entries[std::string(key)] = {store(file, entry.ecdsa), store(file, entry.rsa)};
}

void summarize(VersionFile& file, const Snapshot& snapshot) {
  file.summary.version = snapshot.version();
  file.summary.names = snapshot.name_count();
  file.summary.certificates = snapshot.certificate_count();
}

}  // namespace

VersionFile whole_version(const Snapshot& snapshot) {
  VersionFile file;
  summarize(file, snapshot);
  snapshot.each([&](std::string_view key, const Entry& entry) { store(file, key, entry); });
  return file;
}

VersionFile changed_version(const Snapshot& snapshot, std::uint64_t base, const Changes& changes) {
  VersionFile file;
  summarize(file, snapshot);
  file.base = base;
  const auto take = [&](std::string_view key) {
    const Entry* entry = snapshot.find_key(key);
    store(file, key, entry != nullptr ? *entry : Entry());
  };
  for (const auto* names : {&changes.added, &changes.removed, &changes.renewed}) {
    for (const auto name : *names) take(name);
  }
  return file;
}

/// Certificates of a chain stand once, in a table: most chains share their intermediates.
std::string encode(const VersionFile& file) {
  BinaryWriter out;
  out.raw(magic);
  write_summary(out, file.summary);
  out.number(file.base);
  std::unordered_map<std::string_view, std::uint64_t> number_of;
  std::vector<std::string_view> table;
  for (const auto& [digest, certificate] : file.certificates) {
    for (const auto& der : certificate.chain) {
      if (number_of.emplace(der, table.size()).second) table.push_back(der);
    }
  }
  out.number(table.size());
  for (const auto der : table) out.text(der);
  out.number(file.certificates.size());
  for (const auto& [digest, certificate] : file.certificates) {
    out.digest(digest);
    out.number(certificate.chain.size());
    for (const auto& der : certificate.chain) out.number(number_of.at(der));
    out.text(certificate.source);
    out.number(certificate.key_files.size());
    for (const auto& path : certificate.key_files) out.text(path);
  }
  out.number(file.entries.size());
  for (const auto& [key, entry] : file.entries) {
    out.text(key);
    out.digest(entry.ecdsa);
    out.digest(entry.rsa);
  }
  return with_digest(out.take());
}

Result<VersionSummary> decode_summary(std::string_view octets) {
  if (!octets.starts_with(magic)) return fail("is no version of a certificate map");
  BinaryReader in(octets.substr(magic.size()));
  const auto summary = read_summary(in);
  if (!in.good()) return fail("is cut off");
  return summary;
}

Result<VersionFile> decode_version(std::string_view octets) {
  if (!octets.starts_with(magic)) return fail("is no version of a certificate map");
  const auto content = checked_content(octets);
  if (!content) return fail_with(content.error());
  BinaryReader in(content->substr(magic.size()));
  VersionFile file;
  file.summary = read_summary(in);
  file.base = in.number();
  std::vector<std::string> table(in.count());
  for (auto& der : table) der = in.text();
  for (auto left = in.count(); left > 0; --left) {
    const auto digest = in.digest();
    StoredCertificate certificate;
    for (auto links = in.count(); links > 0; --links) {
      const auto number = in.number();
      if (number >= table.size()) return fail("is damaged: a chain without its certificates");
      certificate.chain.push_back(table[number]);
    }
    certificate.source = in.text();
    for (auto paths = in.count(); paths > 0; --paths) certificate.key_files.push_back(in.text());
    if (!digest || !in.good()) return fail("is damaged: a certificate cannot be read");
    file.certificates.emplace(*digest, std::move(certificate));
  }
  for (auto left = in.count(); left > 0; --left) {
    auto key = in.text();
    const auto ecdsa = in.digest();
    const auto rsa = in.digest();
    file.entries[std::move(key)] = {ecdsa, rsa};
  }
  if (!in.at_end()) return fail("is damaged: its parts do not fit together");
  return file;
}

void apply(const VersionFile& change, VersionFile& whole) {
  whole.summary = change.summary;
  for (const auto& [digest, certificate] : change.certificates) whole.certificates[digest] = certificate;
  for (const auto& [key, entry] : change.entries) {
    if (entry.ecdsa || entry.rsa) {
      whole.entries[key] = entry;
    } else {
      whole.entries.erase(key);
    }
  }
}

Changes difference(const VersionFile& before, const Snapshot& after) {
  Changes changes;
  const auto fingerprint = [](const std::shared_ptr<const tls::Credential>& credential) {
    return credential ? std::optional(credential->leaf.fingerprint) : std::nullopt;
  };
  for (const auto& [key, entry] : before.entries) {
    const Entry* now = after.find_key(key);
    if (now == nullptr) {
      changes.removed.add(key);
    } else if (fingerprint(now->ecdsa) != entry.ecdsa || fingerprint(now->rsa) != entry.rsa) {
      changes.renewed.add(key);
    }
  }
  after.each([&](std::string_view key, const Entry&) {
    if (!before.entries.contains(std::string(key))) changes.added.add(key);
  });
  return changes;
}

}  // namespace postern::certs
