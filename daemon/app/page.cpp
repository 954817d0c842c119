#include "daemon/app/page.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/text.h"
#include "daemon/app/score_answers.h"

namespace postern::app {

namespace {

// Rows of the tables.
constexpr std::size_t faults_max = 20;
constexpr std::size_t targets_max = 50;
constexpr std::size_t listeners_max = 50;
constexpr std::size_t backends_max = 50;
constexpr std::size_t certificates_max = 20;
constexpr std::size_t senders_max = 20;
constexpr std::size_t refusals_max = 20;
constexpr std::size_t domains_max = 20;
constexpr std::size_t failures_max = 20;

template <class Row>
void cut(std::vector<Row>& rows, std::size_t count_max) {
  if (rows.size() > count_max) rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(count_max), rows.end());
}

void count(std::vector<control::SniKind>& kinds, const std::string& kind, std::uint64_t more) {
  const auto found = std::find_if(kinds.begin(), kinds.end(), [&](const control::SniKind& one) { return one.kind == kind; });
  if (found == kinds.end()) {
    kinds.push_back({kind, more});
  } else {
    found->count += more;
  }
}

void add_handshakes(const session::Counters& counters, control::PageReply& page) {
  for (const auto& [kind, times] : counters.handshakes) {
    count(page.versions, kind.outcome == "established" ? kind.version : "failed", times);
    count(page.server_names, kind.sni, times);
  }
  for (const auto& [limit, times] : counters.limits_hit) page.limits.push_back({limit, times});
}

void add_backends(const session::Counters& counters, control::PageReply& page) {
  const auto microseconds = [](double seconds) { return static_cast<std::uint64_t>(seconds * 1e6); };
  for (const auto& [name, counts] : counters.hand_offs) {
    page.backends.push_back({name, counts.duration.total(), counts.taken, counts.deferred, counts.refused,
                             microseconds(counts.duration.quantile(0.5)), microseconds(counts.duration.quantile(0.95))});
  }
  std::stable_sort(page.backends.begin(), page.backends.end(),
                   [](const auto& a, const auto& b) { return a.messages > b.messages; });
  cut(page.backends, backends_max);
}

void add_certificates(const std::vector<Expiring>& expiring, WallTime now, control::PageReply& page) {
  for (const Expiring& one : expiring) {
    if (page.certificates.size() == certificates_max) break;
    const auto days = std::chrono::floor<std::chrono::days>(one.not_after - now).count();
    page.certificates.push_back({one.name, rfc3339(one.not_after), days});
  }
}

/// Those first that somebody must look at.
void bound_status(control::PageReply& page) {
  auto& status = page.status;
  page.fault_count = status.faults.size();
  cut(status.faults, faults_max);
  page.target_count = status.backends.size();
  std::stable_sort(status.backends.begin(), status.backends.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.up, a.last_failure.empty()) < std::tuple(b.up, b.last_failure.empty());
  });
  cut(status.backends, targets_max);
  cut(status.listeners, listeners_max);
}

control::PageReply made_of(const StatusSources& sources, const Overview& overview) {
  control::PageReply page;
  const WallTime now = uv::wall_time();
  page.time = rfc3339(now);
  const auto settings = sources.shared.settings.current();
  if (!sources.listeners.empty()) page.hostname = settings->listeners.at(sources.listeners.front()).hostname;
  page.status = status_reply(sources, overview);
  bound_status(page);
  page.minute = sources.rates.last_minute();
  page.history = sources.rates.history();
  add_handshakes(overview.counters, page);
  add_backends(overview.counters, page);
  add_certificates(sources.reloader.facts().expiring, now, page);
  page.log = sources.journal.troubles();
  return page;
}

void add_score(std::vector<control::Reply> replies, control::PageReply& page) {
  page.sni = std::move(std::get<control::SniReply>(replies[0]));
  cut(page.sni.refusals, refusals_max);
  cut(page.sni.nameless_refusals, refusals_max);
  page.domains = std::move(std::get<control::SniDomainsReply>(replies[1]));
  page.failures = std::move(std::get<control::SniFailuresReply>(replies[2]).failures);
}

}  // namespace

void answer_with_page(const StatusSources& sources, const control::PageRequest& request,
                      std::function<void(control::Reply)> reply) {
  const auto& shared = sources.shared;
  answer_from_score({*shared.score, sources.shared.settings, sources.shared.tls, sources.workers},
                    {control::SniRequest{request.window, senders_max},
                     control::SniDomainsRequest{request.window, domains_max}, control::SniFailuresRequest{failures_max}},
                    [sources, reply = std::move(reply)](std::vector<control::Reply> replies) {
                      if (const auto* error = std::get_if<control::ErrorReply>(&replies.front())) return reply(*error);
                      ask_workers(sources, {}, [sources, replies = std::move(replies), reply](const Overview& overview) {
                        control::PageReply page = made_of(sources, overview);
                        add_score(replies, page);
                        reply(std::move(page));
                      });
                    });
}

}  // namespace postern::app
