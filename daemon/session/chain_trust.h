// Whether the chains that are served lead to a trust anchor: found out once for each certificate, on a pool, since it
// costs half a millisecond. One for each worker, on its loop.
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "base/shared_view.h"
#include "daemon/session/settings.h"
#include "daemon/uv/loop.h"
#include "daemon/uv/work_pool.h"
#include "tls/credential.h"

namespace postern::session {

class ChainTrust {
 public:
  ChainTrust(uv::Loop& loop, uv::WorkPool& pool, View<TlsGeneration>& tls) : loop_(loop), pool_(pool), tls_(tls) {}

  /// Begins to find out, if it is not known yet.
  void find_out(const std::shared_ptr<const tls::Credential>& credential);
  /// Nothing: not known yet, or there are no anchors.
  std::optional<bool> known(const tls::Credential& credential) const;

 private:
  static constexpr std::size_t entries_max = 20'000;

  uv::Loop& loop_;
  uv::WorkPool& pool_;
  View<TlsGeneration>& tls_;
  std::shared_ptr<const ChainJudge> judge_;  // whose verdicts these are
  std::map<tls::Digest, std::optional<bool>> verdicts_;
};

}  // namespace postern::session
