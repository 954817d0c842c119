#include "certs/anchors.h"

#include <algorithm>
#include <array>
#include <utility>

#include "tls/certificate_der.h"
#include "tls/digest.h"
#include "tls/pem.h"

namespace postern::certs {

namespace {

constexpr std::size_t anchors_octets_max = 16 * 1024 * 1024;  // a system has a quarter of a megabyte

constexpr std::array<std::string_view, 4> system_anchor_files{
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem"};

}  // namespace

Result<std::shared_ptr<const Anchors>> Anchors::from_pem(std::string_view pem, std::string source) {
  auto made = std::make_shared<Anchors>();
  auto store = tls::make_trust_store(pem, source);
  if (!store) return fail_with(store.error());
  made->store_ = std::move(*store);
  const auto blocks = tls::read_pem(pem, source);
  for (const tls::PemBlock& block : *blocks) {
    if (block.label != "CERTIFICATE") continue;
    const auto der = tls::decode_pem(block, source);
    const bssl::UniquePtr<CRYPTO_BUFFER> buffer(
        CRYPTO_BUFFER_new(reinterpret_cast<const std::uint8_t*>(der->data()), der->size(), nullptr));
    if (const auto parts = tls::parts_of(buffer.get())) made->subjects_.emplace(parts->subject);
  }
  made->source_ = std::move(source);
  made->digest_ = tls::sha256(pem);
  return made;
}

bool Anchors::vouch_for(const tls::Credential& credential, WallTime now) const {
  const auto& leaf = credential.leaf;
  const WallTime at = std::clamp(now, leaf.not_before, std::max(leaf.not_before, leaf.not_after - std::chrono::seconds(1)));
  return tls::follow_chain(*store_, credential.chain, at) == tls::ChainEnd::Anchor;
}

std::optional<Anchors::MissingIssuer> Anchors::missing_issuer(const tls::Chain& chain, WallTime now) const {
  std::size_t last = 0;
  for (std::string_view issuer; last < chain.size(); ++last) {
    const auto parts = tls::parts_of(chain[last].get());
    if (!parts) return std::nullopt;
    if (last > 0 && parts->subject != issuer) break;
    issuer = parts->issuer;
    if (parts->subject == issuer || subjects_.contains(issuer) || subjects_.contains(parts->subject)) return std::nullopt;
  }
  // Names that are equal may be encoded in several ways: the TLS library has the last word.
  if (chain.empty() || tls::follow_chain(*store_, chain, now) != tls::ChainEnd::Nowhere) return std::nullopt;
  return MissingIssuer{last, tls::issuer_for_people(*chain[last - 1])};
}

std::optional<std::string> system_anchor_file(FileSource& files) {
  for (const auto path : system_anchor_files) {
    if (files.exists(std::string(path))) return std::string(path);
  }
  return std::nullopt;
}

bool AnchorFile::look(FileSource& files, const std::string& configured) {
  const auto path = configured.empty() ? system_anchor_file(files) : std::optional(configured);
  fault_.reset();
  if (!path) {
    path_.clear();
    state_.reset();
    return std::exchange(current_, nullptr) != nullptr;
  }
  const auto fault = [&](const std::string& text) {
    fault_ = {Fault::Severity::Error, *path,
              text + (current_ ? "; the trust anchors that were read before stay"
                               : "; certificates are served without knowing whether their chains are trusted")};
    return false;
  };
  const auto state = files.state(*path);
  if (!state) return fault(state.error().text);
  if (path_ == *path && state_ == *state && current_) return false;
  const auto contents = files.read(*path, anchors_octets_max);
  if (!contents) return fault(contents.error().text);
  auto anchors = Anchors::from_pem(contents->bytes, *path);
  if (!anchors) return fault(anchors.error().text);
  path_ = *path;
  state_ = contents->state;
  current_ = std::move(*anchors);
  return true;
}

}  // namespace postern::certs
