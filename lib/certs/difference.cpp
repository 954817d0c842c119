#include "certs/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace postern::certs {

namespace {

using CredentialRef = std::shared_ptr<const tls::Credential>;

bool same_leaf(const CredentialRef& a, const CredentialRef& b) {
  return a == b || (a && b && a->leaf.fingerprint == b->leaf.fingerprint);
}

bool covers(const tls::LeafFacts& leaf, std::string_view key) {
  const bool wildcard = key.starts_with("*.");
  const auto name = DnsName::parse(wildcard ? key.substr(2) : key);
  if (!name) return true;  // `.example.com`: no certificate covers all below
  return wildcard ? std::find(leaf.wildcards.begin(), leaf.wildcards.end(), *name) != leaf.wildcards.end()
                  : leaf.covers(*name);
}

std::optional<std::string> worse_leaf(std::string_view key, const tls::LeafFacts& before, const tls::LeafFacts& after) {
  if (covers(before, key) && !covers(after, key)) return "the new certificate does not cover the name";
  if (after.self_signed && !before.self_signed) return "the new certificate is self-signed";
  if (after.key_bits < before.key_bits) {
    return fmt::format("the new key is weaker: {} with {} bits instead of {}", to_string(after.key_kind), after.key_bits,
                       before.key_bits);
  }
  if (after.not_after < before.not_after) {
    const auto days = std::chrono::floor<std::chrono::days>(before.not_after - after.not_after).count();
    return fmt::format("the new certificate ends on {}, {} before the one that it replaces", rfc3339(after.not_after),
                       days == 1 ? "a day" : fmt::format("{} days", days));
  }
  return std::nullopt;
}

std::optional<std::string> worse(std::string_view key, const CredentialRef& before, const CredentialRef& after,
                                 std::string_view kind) {
  if (!before || same_leaf(before, after)) return std::nullopt;
  if (!after) return fmt::format("there is no {} certificate for it any more", kind);
  return worse_leaf(key, before->leaf, after->leaf);
}

}  // namespace

void note_change(std::string_view key, const Entry& before, const Entry& after, Changes& changes) {
  if (before.empty()) {
    if (!after.empty()) changes.added.add(key);
    return;
  }
  if (after.empty()) {
    changes.removed.add(key);
    return;
  }
  if (same_leaf(before.ecdsa, after.ecdsa) && same_leaf(before.rsa, after.rsa)) return;
  changes.renewed.add(key);
  auto why = worse(key, before.ecdsa, after.ecdsa, "ECDSA");
  if (!why) why = worse(key, before.rsa, after.rsa, "RSA");
  if (why) changes.worse.push_back({std::string(key), std::move(*why)});
}

bool loses_too_much(std::size_t removed, std::size_t names, unsigned max_loss) {
  return removed >= loss_names_min && removed * 100 > names * max_loss;
}

Changes difference(const Snapshot& before, const Snapshot& after) {
  Changes changes;
  const Entry none;
  before.each([&](std::string_view key, const Entry& entry) {
    const Entry* now = after.find_key(key);
    note_change(key, entry, now != nullptr ? *now : none, changes);
  });
  after.each([&](std::string_view key, const Entry& entry) {
    if (before.find_key(key) == nullptr) note_change(key, none, entry, changes);
  });
  return changes;
}

}  // namespace postern::certs
