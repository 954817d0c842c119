#include "certs/start_cache.h"

#include <algorithm>
#include <utility>

#include "certs/binary.h"

namespace postern::certs {

namespace {

constexpr std::string_view magic = "postern certificate cache 1\n";

std::string_view octets_of(const bssl::UniquePtr<CRYPTO_BUFFER>& buffer) {
  return {reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer.get())), CRYPTO_BUFFER_len(buffer.get())};
}

void write_time(BinaryWriter& out, WallTime time) {
  out.number(static_cast<std::uint64_t>(time.time_since_epoch().count()));
}

WallTime read_time(BinaryReader& in) { return WallTime(std::chrono::seconds(static_cast<std::int64_t>(in.number()))); }

void write_names(BinaryWriter& out, const std::vector<DnsName>& names) {
  out.number(names.size());
  for (const auto& name : names) out.text(name.text());
}

bool read_names(BinaryReader& in, std::vector<DnsName>& names) {
  for (auto left = in.count(); left > 0; --left) {
    auto name = DnsName::parse(in.view());
    if (!name) return false;
    names.push_back(std::move(*name));
  }
  return in.good();
}

void write_facts(BinaryWriter& out, const tls::LeafFacts& leaf) {
  write_names(out, leaf.names);
  write_names(out, leaf.wildcards);
  out.text(leaf.subject);
  out.text(leaf.issuer);
  write_time(out, leaf.not_before);
  write_time(out, leaf.not_after);
  out.number(static_cast<std::uint64_t>(leaf.key_kind));
  out.number(leaf.key_bits);
  out.number(leaf.self_signed ? 1 : 0);
  out.digest(leaf.fingerprint);
}

bool read_facts(BinaryReader& in, tls::LeafFacts& leaf) {
  if (!read_names(in, leaf.names) || !read_names(in, leaf.wildcards)) return false;
  leaf.subject = in.text();
  leaf.issuer = in.text();
  leaf.not_before = read_time(in);
  leaf.not_after = read_time(in);
  leaf.key_kind = static_cast<tls::KeyKind>(in.number());
  leaf.key_bits = static_cast<unsigned>(in.number());
  leaf.self_signed = in.number() == 1;
  const auto fingerprint = in.digest();
  if (fingerprint) leaf.fingerprint = *fingerprint;
  return in.good() && fingerprint && leaf.key_kind <= tls::KeyKind::Ed25519;
}

void write_file(BinaryWriter& out, const RememberedFile& file) {
  write_state(out, file.state);
  out.digest(file.digest);
  out.number(file.tells_changes ? 1 : 0);
}

bool read_file(BinaryReader& in, RememberedFile& file) {
  file.state = read_state(in);
  file.digest = in.digest();
  file.tells_changes = in.number() == 1;
  return in.good();
}

/// What stands above the leaves, each once: most chains share it.
class IssuerTable {
 public:
  explicit IssuerTable(const std::vector<RememberedItem>& items) {
    for (const auto& item : items) {
      for (const auto& credential : item.credentials) {
        for (std::size_t i = 1; i < credential->chain.size(); ++i) {
          const auto der = octets_of(credential->chain[i]);
          if (numbers_.emplace(der, ders_.size()).second) ders_.push_back(der);
        }
      }
    }
  }
  const std::vector<std::string_view>& ders() const { return ders_; }
  std::uint64_t number_of(std::string_view der) const { return numbers_.at(der); }

 private:
  std::unordered_map<std::string_view, std::uint64_t> numbers_;
  std::vector<std::string_view> ders_;
};

void write_credential(BinaryWriter& out, const tls::Credential& credential, const IssuerTable& issuers) {
  out.number(credential.chain.size());
  if (!credential.chain.empty()) out.text(octets_of(credential.chain.front()));
  for (std::size_t i = 1; i < credential.chain.size(); ++i) out.number(issuers.number_of(octets_of(credential.chain[i])));
  write_facts(out, credential.leaf);
  out.text(credential.source);
  out.number(credential.notes.size());
  for (const auto& note : credential.notes) out.text(note);
}

}  // namespace

bool state_tells_changes(const FileState& state, WallTime seen_at) {
  constexpr std::chrono::seconds coarsest_clock{2};
  const auto changed = std::chrono::nanoseconds(std::max(state.mtime_ns, state.ctime_ns));
  return changed + coarsest_clock < seen_at.time_since_epoch();
}

std::string encode_start_cache(const Remembered& remembered, std::string_view stamp) {
  const IssuerTable issuers(remembered.items);
  BinaryWriter out;
  out.raw(magic);
  out.text(stamp);
  out.digest(remembered.anchors);
  out.number(issuers.ders().size());
  for (const auto der : issuers.ders()) out.text(der);
  out.number(remembered.items.size());
  for (const auto& item : remembered.items) {
    BinaryWriter rest;
    rest.number(item.files.size());
    for (const auto& file : item.files) write_file(rest, file);
    rest.number(item.credentials.size());
    for (const auto& credential : item.credentials) write_credential(rest, *credential, issuers);
    out.text(item.key);
    out.text(rest.take());
  }
  return with_digest(out.take());
}

Result<std::shared_ptr<const StartCache>> StartCache::read(std::string octets, std::string_view stamp) {
  const std::shared_ptr<StartCache> cache(new StartCache);
  cache->octets_ = std::move(octets);
  if (!cache->octets_.starts_with(magic)) return fail("is damaged, or of another version");
  const auto content = checked_content(cache->octets_);
  if (!content) return fail_with(content.error());
  BinaryReader in(content->substr(magic.size()));
  if (in.view() != stamp) return fail("is of another version or another machine");
  cache->anchors_ = in.digest();
  for (auto left = in.count(); left > 0; --left) cache->issuers_.push_back(tls::pooled_certificate(in.view()));
  const auto count = in.count();
  cache->items_.reserve(count);
  for (auto left = count; left > 0 && in.good(); --left) {
    const auto key = in.view();
    cache->items_.emplace(key, in.view());
  }
  if (!in.at_end()) return fail("is damaged: its parts do not fit together");
  return cache;
}

std::optional<Recollection> StartCache::find(std::string_view key) const {
  const auto found = items_.find(key);
  if (found == items_.end()) return std::nullopt;
  BinaryReader in(found->second);
  Recollection item;
  item.files.resize(in.count());
  for (auto& file : item.files) {
    if (!read_file(in, file)) return std::nullopt;
  }
  for (auto left = in.count(); left > 0; --left) {
    auto credential = std::make_shared<tls::Credential>();
    const auto links = in.count();
    if (links > 0) credential->chain.push_back(tls::pooled_certificate(in.view()));
    for (std::uint64_t above = 1; above < links; ++above) {
      const auto number = in.number();
      if (number >= issuers_.size()) return std::nullopt;
      credential->chain.push_back(bssl::UpRef(issuers_[number]));
    }
    if (!read_facts(in, credential->leaf)) return std::nullopt;
    credential->source = in.text();
    for (auto notes = in.count(); notes > 0; --notes) credential->notes.push_back(in.text());
    item.credentials.push_back(std::move(credential));
  }
  if (!in.at_end()) return std::nullopt;
  return item;
}

}  // namespace postern::certs
