#include "report/score.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "report/sender.h"

namespace postern::report {

namespace {

constexpr std::size_t recent_max = 10'000;
constexpr std::size_t notes_max = 5;
constexpr char separator = ' ';  // of what keys are made of: neither domains nor addresses have it
constexpr std::chrono::seconds aged_every{60};

OfSender version_counter(TlsVersion version) {
  switch (version) {
    case TlsVersion::Tls13: return OfSender::Tls13;
    case TlsVersion::Tls12: return OfSender::Tls12;
    case TlsVersion::Older:
    case TlsVersion::None: break;
  }
  return OfSender::OlderVersions;
}

void count_handshake(const Handshake& handshake, SenderCounts& counts) {
  ++counts[OfSender::Handshakes];
  ++counts.of_sni(handshake.sni);
  ++counts.of_reception(handshake.reception);
  if (handshake.version != TlsVersion::None) ++counts[version_counter(handshake.version)];
  if (handshake.resumption == Handshake::Resumption::Resumed) ++counts[OfSender::Resumed];
}

OfDomain counted_as(const SessionFacts& facts, const Delivery& delivery) {
  if (!facts.handshake) return OfDomain::InClear;
  if (delivery.sni == Sni::None) return OfDomain::WithoutSni;
  return static_cast<OfDomain>(delivery.verdict);
}

}  // namespace

void SinceStart::add(const SenderCounts& seen) {
  for (std::size_t i = 0; i < of_sender_count; ++i) of_senders[i] += seen.of[i];
}

std::uint64_t SenderCounts::refused() const {
  const auto first = of.begin() + static_cast<std::ptrdiff_t>(OfSender::FirstReception) + first_refusal;
  return std::accumulate(first, of.end(), std::uint64_t{0});
}

std::uint64_t DomainCounts::at_risk() const {
  return std::accumulate(of.begin(), of.begin() + sts_count, std::uint64_t{0}) - ok();
}

std::uint64_t RefusalCounts::refused() const {
  return std::accumulate(of.begin() + first_refusal, of.begin() + reception_count, std::uint64_t{0});
}

std::string pair_key(std::string_view domain, std::string_view sender) {
  return std::string(domain) + separator + std::string(sender);
}

std::pair<std::string_view, std::string_view> split_pair(std::string_view key) {
  const auto at = std::min(key.find(separator), key.size());
  return {key.substr(0, at), key.substr(std::min(at + 1, key.size()))};
}

std::string RefusalKey::text() const { return server_name + separator + local + separator + sender; }

RefusalKey RefusalKey::parse(std::string_view text) {
  const auto [name, rest] = split_pair(text);
  const auto [local, sender] = split_pair(rest);
  return {std::string(name), std::string(local), std::string(sender)};
}

Score::Score(const ScoreSettings& settings)
    : settings_(settings),
      senders_(settings.senders_max),
      domains_(settings.senders_max),
      pairs_(settings.senders_max),
      refusals_(settings.senders_max) {}

void Score::configure(const ScoreSettings& settings) {
  settings_ = settings;
  senders_.resize(settings.senders_max);
  domains_.resize(settings.senders_max);
  pairs_.resize(settings.senders_max);
  refusals_.resize(settings.senders_max);
}

void Score::age(WallTime now) {
  aged_at_ = now;
  totals_.age(now, settings_.retention);
  senders_.age(now, settings_.retention);
  domains_.age(now, settings_.retention);
  pairs_.age(now, settings_.retention);
  refusals_.age(now, settings_.retention);
  const auto retention = std::chrono::duration_cast<std::chrono::seconds>(settings_.retention);
  std::erase_if(failures_, [&](const FailedHandshake& failure) { return failure.time + retention <= now; });
  const auto over = [&](const auto& each) { return each.second.time + downgrade_within < now; };
  std::erase_if(recently_refused_, over);
  std::erase_if(recently_clear_, over);
}

void Score::add(const SessionFacts& facts) {
  if (facts.time >= aged_at_ + aged_every) age(facts.time);
  const bool mail = facts.mail == SessionFacts::Mail::Named;
  if (!facts.handshake && !mail) return;
  const std::string sender = sender_of(facts.address, facts.name);
  SenderCounts seen;
  SenderCounts& counts = senders_.touch(sender).counts.at(facts.time);
  if (!facts.handshake) ++seen[OfSender::ClearSessions];
  for (const Delivery& delivery : facts.deliveries) seen[OfSender::Messages] += delivery.messages;
  if (facts.handshake) count_handshake(*facts.handshake, seen);
  counts.add(seen);
  totals_.at(facts.time).add(seen);
  since_start_.add(seen);
  add_deliveries(facts, sender);
  // These may look at what a sender did before.
  if (facts.handshake) {
    note_handshake(facts, *facts.handshake, sender);
  } else {
    note_clear(facts, sender);
  }
}

void Score::note_handshake(const SessionFacts& facts, const Handshake& handshake, const std::string& sender) {
  if (handshake.failure) {
    FailedHandshake failure = *handshake.failure;
    failure.time = facts.time;
    failure.sender = sender;
    failure.address = facts.address.text();
    failure.local = facts.local.text();
    failures_.push_back(std::move(failure));
    if (failures_.size() > failures_max) failures_.pop_front();
  }
  if (!is_refusal(handshake.reception)) {
    if (handshake.reception == Reception::Failed) note_refusal(facts, sender, {});
    return;
  }
  RefusalKey key{handshake.server_name ? handshake.server_name->text() : "", "", sender};
  if (!handshake.server_name) key.local = facts.local.text();
  const std::string text = key.text();
  ++refusals_.touch(text).counts.at(facts.time)[handshake.reception];
  note_refusal(facts, sender, text);
}

void Score::add_deliveries(const SessionFacts& facts, const std::string& sender) {
  for (const Delivery& delivery : facts.deliveries) {
    const OfDomain kind = counted_as(facts, delivery);
    const std::string& domain = delivery.domain.text();
    domains_.touch(domain).counts.at(facts.time)[kind] += delivery.messages;
    pairs_.touch(pair_key(domain, sender)).counts.at(facts.time)[kind] += delivery.messages;
    since_start_.of_domains[static_cast<std::size_t>(kind)] += delivery.messages;
  }
}

void Score::note_refusal(const SessionFacts& facts, const std::string& sender, std::string refusal) {
  const Recent refused{facts.time, std::move(refusal), {}};
  // Workers tell what they saw at different times: it may have come back before this is heard.
  const auto clear = recently_clear_.find(sender);
  if (clear != recently_clear_.end() && clear->second.time >= facts.time &&
      clear->second.time <= facts.time + downgrade_within) {
    return downgraded(sender, refused, clear->second);
  }
  if (recently_refused_.size() < recent_max) recently_refused_[sender] = refused;
}

void Score::note_clear(const SessionFacts& facts, const std::string& sender) {
  Recent clear{facts.time, {}, {}};
  for (const Delivery& delivery : facts.deliveries) {
    if (clear.domains.size() < notes_max) clear.domains.push_back(delivery.domain.text());
  }
  const auto refused = recently_refused_.find(sender);
  if (refused != recently_refused_.end() && refused->second.time <= facts.time &&
      facts.time <= refused->second.time + downgrade_within) {
    downgraded(sender, refused->second, clear);
    recently_refused_.erase(refused);
    return;
  }
  if (recently_clear_.size() < recent_max) recently_clear_[sender] = std::move(clear);
}

void Score::downgraded(const std::string& sender, const Recent& refused, const Recent& clear) {
  ++totals_.at(clear.time)[OfSender::Downgraded];
  ++since_start_.of_senders[static_cast<std::size_t>(OfSender::Downgraded)];
  if (auto* row = senders_.find(sender)) ++row->counts.at(clear.time)[OfSender::Downgraded];
  auto* row = refusals_.find(refused.refusal);
  if (row == nullptr) return;
  ++row->counts.at(clear.time).downgraded();
  for (const std::string& domain : clear.domains) {
    const bool known = std::find(row->notes.begin(), row->notes.end(), domain) != row->notes.end();
    if (!known && row->notes.size() < notes_max) row->notes.push_back(domain);
  }
}

}  // namespace postern::report
