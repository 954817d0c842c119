#include "mtasts/tlsa_hold.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace postern::mtasts {

namespace {

using std::chrono::seconds;
using Says = TlsaAtServer::Says;

constexpr seconds looked_every_min{1}, looked_every_max{60};

bool all(const std::vector<TlsaAtServer>& servers, Says says) {
  return std::all_of(servers.begin(), servers.end(), [says](const auto& each) { return each.says == says; });
}

const TlsaAtServer* first(const std::vector<TlsaAtServer>& servers, Says says) {
  const auto found = std::find_if(servers.begin(), servers.end(), [says](const auto& each) { return each.says == says; });
  return found == servers.end() ? nullptr : &*found;
}

}  // namespace

TlsaHold::TlsaHold(WallTime now, WallTime served_ends) : next_look_(now) {
  const seconds left = std::max(seconds(0), seconds(served_ends - now));
  deadline_ = served_ends - std::min<seconds>(margin, left / 2);
}

void TlsaHold::looked(const std::vector<TlsaAtServer>& servers, WallTime now) {
  if (standing_ != Standing::Held) return;
  judge(servers, now);
  if (standing_ != Standing::Held || now < deadline_) return;
  standing_ = Standing::Forced;
  why_ = fmt::format("{}, and the certificate that is served ends soon", why_);
}

void TlsaHold::judge(const std::vector<TlsaAtServer>& servers, WallTime now) {
  for (const auto& each : servers) ttl_ = std::max(ttl_, each.ttl);
  const WallTime soon = now + std::clamp(ttl_, looked_every_min, looked_every_max);
  if (servers.empty()) return wait("the authoritative servers of its zone cannot be found", soon);
  if (all(servers, Says::None)) {
    standing_ = Standing::Free;
    why_ = "it has no TLSA records";
    return;
  }
  // A record that came and went was never safe to rely on; a server that is silent for a moment takes nothing back.
  for (const Says says : {Says::Lacks, Says::None}) {
    const auto* lacking = first(servers, says);
    if (lacking == nullptr) continue;
    seen_since_.reset();
    return wait(fmt::format("{} has no TLSA record for its key", lacking->server), soon);
  }
  if (!seen_since_) {
    if (const auto* silent = first(servers, Says::Nothing)) return wait(fmt::format("{} does not answer", silent->server), soon);
    seen_since_ = now;
  }
  const WallTime known_everywhere = *seen_since_ + 2 * ttl_;
  if (now >= known_everywhere) {
    standing_ = Standing::Free;
    why_ = "all authoritative servers have a TLSA record for its key";
    return;
  }
  wait(fmt::format("all authoritative servers have a TLSA record for its key; caches may have the old ones until {}",
                   rfc3339(known_everywhere)),
       std::min(known_everywhere, soon));
}

void TlsaHold::wait(std::string why, WallTime until) {
  why_ = std::move(why);
  next_look_ = until;
}

}  // namespace postern::mtasts
