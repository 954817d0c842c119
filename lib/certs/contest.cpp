#include "certs/contest.h"

#include <algorithm>
#include <tuple>

namespace postern::certs {

bool is_valid(const tls::Credential& credential, WallTime now) {
  return credential.leaf.not_before <= now && now < credential.leaf.not_after;
}

bool is_rsa(const tls::Credential& credential) { return credential.leaf.key_kind == tls::KeyKind::Rsa; }

namespace {

/// Smaller is better.
auto rank(const Candidate& candidate, WallTime now) {
  const auto& leaf = candidate.credential->leaf;
  return std::tuple(candidate.strength, !is_valid(*candidate.credential, now), leaf.self_signed, candidate.basis,
                    leaf.key_kind == tls::KeyKind::Ed25519, -leaf.not_before.time_since_epoch(), candidate.order,
                    candidate.holder);
}

class Contest {
 public:
  Contest(const std::vector<Candidate>& candidates, WallTime now) : candidates_(candidates), now_(now) {}

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
    return rank(candidates_[a], now_) < rank(candidates_[b], now_);
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
  std::vector<const Candidate*> established_;
};

}  // namespace

Verdict decide(const std::vector<Candidate>& candidates, WallTime now) { return Contest(candidates, now).decide(); }

}  // namespace postern::certs
