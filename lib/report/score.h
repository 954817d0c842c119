// The SNI score: which senders ask for which name, and what they make of the certificate that they get (DESIGN section
// 5). Fed with what sessions showed, on one thread; only sums are kept, of senders, domains and names that the operator's
// own map has, never of people. A clock is an argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "report/event.h"
#include "report/settings.h"
#include "report/top_table.h"
#include "report/windowed.h"

namespace postern::report {

/// What is counted of a sender. The values behind Handshakes are those of Sni, then those of Reception, in their order.
enum class OfSender : std::uint8_t {
  Handshakes,
  Resumed,
  OlderVersions,
  Tls12,
  Tls13,
  Downgraded,    ///< came back in clear within five minutes after a handshake that it refused, or that failed
  ClearSessions, ///< with MAIL, without TLS
  Messages,      ///< taken; one to two domains counts twice
  FirstSni,
  FirstReception = FirstSni + sni_count,
};
constexpr std::size_t of_sender_count = static_cast<std::size_t>(OfSender::FirstReception) + reception_count;
struct SenderCounts : Counts<OfSender, of_sender_count> {
  std::uint32_t& of_sni(Sni sni) { return of[static_cast<std::size_t>(OfSender::FirstSni) + static_cast<std::size_t>(sni)]; }
  std::uint32_t of_sni(Sni sni) const { return const_cast<SenderCounts&>(*this).of_sni(sni); }
  std::uint32_t& of_reception(Reception reception) {
    return of[static_cast<std::size_t>(OfSender::FirstReception) + static_cast<std::size_t>(reception)];
  }
  std::uint32_t of_reception(Reception reception) const { return const_cast<SenderCounts&>(*this).of_reception(reception); }
  std::uint64_t refused() const;
};

/// What is counted of messages that were taken: over those with SNI, by Sts; the others.
enum class OfDomain : std::uint8_t {
  FirstSts,  ///< with SNI; the values of Sts, in their order
  WithoutSni = FirstSts + sts_count,
  InClear,
};
constexpr std::size_t of_domain_count = static_cast<std::size_t>(OfDomain::InClear) + 1;
struct DomainCounts : Counts<OfDomain, of_domain_count> {
  std::uint32_t& of_sts(Sts sts) { return of[static_cast<std::size_t>(sts)]; }
  std::uint32_t of_sts(Sts sts) const { return of[static_cast<std::size_t>(sts)]; }
  std::uint64_t ok() const { return of_sts(Sts::Pass); }
  /// A sender that validates would have refused: `foreign()` among them.
  std::uint64_t at_risk() const;
  /// The name in SNI is none of the domain's.
  std::uint64_t foreign() const { return std::uint64_t{of_sts(Sts::OtherMx)} + of_sts(Sts::DomainAsSni); }
  std::uint64_t unaffected() const {
    return std::uint64_t{(*this)[OfDomain::WithoutSni]} + (*this)[OfDomain::InClear];
  }
};

/// Refusals, by how; and how often the sender came back in clear.
struct RefusalCounts : Counts<Reception, reception_count + 1> {
  std::uint32_t& downgraded() { return of[reception_count]; }
  std::uint32_t downgraded() const { return of[reception_count]; }
  std::uint64_t refused() const;
};

/// Sums over all senders, and over all domains, that never go back.
struct SinceStart {
  std::array<std::uint64_t, of_sender_count> of_senders{};  ///< by OfSender
  std::array<std::uint64_t, of_domain_count> of_domains{};  ///< by OfDomain

  void add(const SenderCounts& seen);
  std::uint64_t of(OfSender what) const { return of_senders[static_cast<std::size_t>(what)]; }
  std::uint64_t of_sni(Sni sni) const {
    return of_senders[static_cast<std::size_t>(OfSender::FirstSni) + static_cast<std::size_t>(sni)];
  }
  std::uint64_t of_reception(Reception reception) const {
    return of_senders[static_cast<std::size_t>(OfSender::FirstReception) + static_cast<std::size_t>(reception)];
  }
  std::uint64_t of(OfDomain what) const { return of_domains[static_cast<std::size_t>(what)]; }
  std::uint64_t of_sts(Sts sts) const { return of_domains[static_cast<std::size_t>(sts)]; }
};

class Score {
 public:
  explicit Score(const ScoreSettings& settings);

  void configure(const ScoreSettings& settings);
  void add(const SessionFacts& facts);
  /// Counted since this object was made, whatever was forgotten: for metrics.
  const SinceStart& since_start() const { return since_start_; }

  /// Forgets what is too old. Call it now and then, and before anything is read.
  void age(WallTime now);

  using Senders = TopTable<SenderCounts>;
  using Domains = TopTable<DomainCounts>;
  using Refusals = TopTable<RefusalCounts>;

  const Windowed<SenderCounts>& totals() const { return totals_; }
  const Senders& senders() const { return senders_; }
  const Domains& domains() const { return domains_; }
  /// By pair_key(domain, sender).
  const Domains& pairs() const { return pairs_; }
  /// By RefusalKey. The notes of a row without SNI are the domains that its sender delivered to when it came back.
  const Refusals& refusals() const { return refusals_; }
  /// The latest ones, oldest first.
  const std::deque<FailedHandshake>& failures() const { return failures_; }

  /// Everything, for the disk. `from_text` refuses what it has not written; `settings` bounds what it takes.
  std::string to_text() const;
  static Result<Score> from_text(std::string_view text, const ScoreSettings& settings);

  static constexpr std::size_t failures_max = 200;
  static constexpr std::chrono::minutes downgrade_within{5};

 private:
  struct Recent {  // a refused or failed handshake, or a session in clear
    WallTime time{};
    std::string refusal;  // a key of refusals_; empty: there is none
    std::vector<std::string> domains;
  };
  void note_handshake(const SessionFacts& facts, const Handshake& handshake, const std::string& sender);
  void add_deliveries(const SessionFacts& facts, const std::string& sender);
  void note_refusal(const SessionFacts& facts, const std::string& sender, std::string refusal);
  void note_clear(const SessionFacts& facts, const std::string& sender);
  void downgraded(const std::string& sender, const Recent& refused, const Recent& clear);

  ScoreSettings settings_;
  Windowed<SenderCounts> totals_;
  Senders senders_;
  Domains domains_;
  Domains pairs_;
  Refusals refusals_;
  std::deque<FailedHandshake> failures_;
  std::unordered_map<std::string, Recent> recently_refused_;  // by sender
  std::unordered_map<std::string, Recent> recently_clear_;
  WallTime aged_at_{};
  SinceStart since_start_;
};

/// What a refusal is counted under: the server name, if it is one of ours (see Handshake), else the local address, since the
/// name that the sender expected is not known then; and the sender.
struct RefusalKey {
  std::string server_name;  ///< empty: no SNI, or a name that is not ours
  std::string local;        ///< address; empty with a server name
  std::string sender;

  std::string text() const;
  static RefusalKey parse(std::string_view text);
};

std::string pair_key(std::string_view domain, std::string_view sender);
/// Domain and sender.
std::pair<std::string_view, std::string_view> split_pair(std::string_view key);

}  // namespace postern::report
