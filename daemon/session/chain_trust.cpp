#include "daemon/session/chain_trust.h"

namespace postern::session {

void ChainTrust::find_out(const std::shared_ptr<const tls::Credential>& credential) {
  const auto generation = tls_.get();
  if (generation->chain_judge != judge_ || verdicts_.size() >= entries_max) verdicts_.clear();
  judge_ = generation->chain_judge;
  if (!judge_ || verdicts_.contains(credential->leaf.fingerprint)) return;
  verdicts_[credential->leaf.fingerprint] = std::nullopt;
  auto verdict = std::make_shared<bool>(false);
  const bool queued = pool_.submit(
      [judge = judge_, credential, verdict, now = uv::wall_time()] { *verdict = judge->vouch_for(*credential, now); }, loop_,
      [this, judge = judge_, fingerprint = credential->leaf.fingerprint, verdict] {
        if (judge == judge_) verdicts_[fingerprint] = *verdict;
      });
  if (!queued) verdicts_.erase(credential->leaf.fingerprint);  // the next handshake asks again
}

std::optional<bool> ChainTrust::known(const tls::Credential& credential) const {
  const auto found = verdicts_.find(credential.leaf.fingerprint);
  return found == verdicts_.end() ? std::nullopt : found->second;
}

}  // namespace postern::session
