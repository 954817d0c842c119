#include "certs/contest.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace postern::certs {

bool is_valid(const tls::Credential& credential, WallTime now) {
  return credential.leaf.not_before <= now && now < credential.leaf.not_after;
}

bool is_rsa(const tls::Credential& credential) { return credential.leaf.key_kind == tls::KeyKind::Rsa; }

namespace {

/// Smaller is better. Between the two ranks stands whether the chain leads to a trust anchor.
auto first_rank(const Candidate& candidate, WallTime now) {
  return std::tuple(candidate.strength, !is_valid(*candidate.credential, now));
}
auto last_rank(const Candidate& candidate) {
  const auto& leaf = candidate.credential->leaf;
  return std::tuple(leaf.self_signed, candidate.basis, leaf.key_kind == tls::KeyKind::Ed25519,
                    -leaf.not_before.time_since_epoch(), candidate.order, candidate.holder);
}

/// Equal certificates are one object (see tls::Credential); what is deferred shows no chain.
bool same_chain(const tls::Credential& a, const tls::Credential& b) {
  return !a.chain.empty() && a.chain == b.chain;
}

/// Whether two candidates could win but for the chains: those of one kind of key, or of different files whose kinds do
/// not belong together. The ECDSA and the RSA certificate of one name are no rivals, however many names have both.
bool has_rivals(const std::vector<Candidate>& candidates, WallTime now) {
  // The first of each rank, and of each rank and kind.
  std::array<const Candidate*, 6> of_rank{};
  std::array<const Candidate*, 12> of_kind{};
  for (const auto& candidate : candidates) {
    const auto& credential = *candidate.credential;
    const std::size_t rank = static_cast<std::size_t>(candidate.strength) * 2 + (is_valid(credential, now) ? 0 : 1);
    auto& same_kind = of_kind[rank * 2 + (is_rsa(credential) ? 1 : 0)];
    auto& any_kind = of_rank[rank];
    if (same_kind != nullptr && !same_chain(*same_kind->credential, credential)) return true;
    if (any_kind != nullptr && any_kind->holder != candidate.holder && any_kind->lineage != candidate.lineage &&
        !same_chain(*any_kind->credential, credential)) {
      return true;
    }
    if (same_kind == nullptr) same_kind = &candidate;
    if (any_kind == nullptr) any_kind = &candidate;
  }
  return false;
}

class Contest {
 public:
  Contest(const std::vector<Candidate>& candidates, WallTime now, const Trusted& trusted)
      : candidates_(candidates), now_(now), trusted_(trusted), chains_count_(trusted && has_rivals(candidates, now)) {}

  Verdict decide() {
    find_established();
    Verdict verdict;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (is_intruder(candidates_[i])) {
        if (is_valid(*candidates_[i].credential, now_)) verdict.held_back.push_back(i);
        continue;
      }
      auto& best = is_rsa(*candidates_[i].credential) ? verdict.rsa : verdict.ecdsa;
      if (!best || better(i, *best)) best = i;
      if (!verdict.primary || better(i, *verdict.primary)) verdict.primary = i;
    }
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      if (is_duplicate(i, is_rsa(*candidates_[i].credential) ? verdict.rsa : verdict.ecdsa)) {
        verdict.duplicates.push_back(i);
      }
    }
    return verdict;
  }

 private:
  bool better(std::size_t a, std::size_t b) const {
    const auto first = first_rank(candidates_[a], now_), second = first_rank(candidates_[b], now_);
    if (first != second) return first < second;
    if (chains_count_ && !same_chain(*candidates_[a].credential, *candidates_[b].credential)) {
      const bool a_trusted = trusted_(a), b_trusted = trusted_(b);
      if (a_trusted != b_trusted) return a_trusted;
    }
    return last_rank(candidates_[a]) < last_rank(candidates_[b]);
  }

  /// Those whose right to the name is settled: they serve it and are valid; else the best one, if valid.
  void find_established() {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < candidates_.size(); ++i) {
      const bool valid = is_valid(*candidates_[i].credential, now_);
      if (candidates_[i].serving && valid) established_.push_back(&candidates_[i]);
      if (valid && (!best || better(i, *best))) best = i;
    }
    if (established_.empty() && best) established_.push_back(&candidates_[*best]);
  }

  bool is_intruder(const Candidate& candidate) const {
    if (candidate.basis != Basis::San || established_.empty()) return false;
    return std::none_of(established_.begin(), established_.end(), [&](const Candidate* holder) {
      return holder->holder == candidate.holder || holder->lineage == candidate.lineage;
    });
  }

  bool is_duplicate(std::size_t i, const std::optional<std::size_t>& best) const {
    if (!best || *best == i || candidates_[i].basis != Basis::Declared) return false;
    const auto& winner = candidates_[*best];
    return winner.basis == Basis::Declared && winner.holder != candidates_[i].holder &&
           winner.strength == candidates_[i].strength;
  }

  const std::vector<Candidate>& candidates_;
  WallTime now_;
  const Trusted& trusted_;
  bool chains_count_;
  std::vector<const Candidate*> established_;
};

}  // namespace

Verdict decide(const std::vector<Candidate>& candidates, WallTime now, const Trusted& trusted) {
  return Contest(candidates, now, trusted).decide();
}

}  // namespace postern::certs
