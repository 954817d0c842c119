#include "mtasts/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace postern::mtasts {

namespace {

constexpr std::string_view title = "# policies that senders may hold, by posternd\n";

/// `2026-12-03T10:00:00Z`, as rfc3339() writes it.
std::optional<WallTime> parse_time(std::string_view text) {
  if (text.size() != 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
      text[19] != 'Z') {
    return std::nullopt;
  }
  const auto number = [&](std::size_t from, std::size_t count) { return parse_decimal(text.substr(from, count)); };
  const auto year = number(0, 4), month = number(5, 2), day = number(8, 2);
  const auto hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  return WallTime(std::chrono::sys_days(date)) + std::chrono::seconds(*hour * 3600 + *minute * 60 + *second);
}

/// What the text says about one domain.
struct Entry {
  std::string_view domain;
  std::string_view live;  ///< the line after `live `; empty: it had no policy
  std::vector<KeptHost> kept;
};

class TextReader {
 public:
  explicit TextReader(std::string_view text) : rest_(text) {}

  /// The lines of the next domain; nothing at the end, or when a line is damaged.
  std::optional<Entry> next() {
    std::optional<Entry> entry;
    while (error_.empty()) {
      const std::string_view line = rest_.substr(0, rest_.find('\n'));
      if (line.empty() || line.front() == '#') {
        if (rest_.empty()) break;
        pass(line);
        continue;
      }
      const auto domain = line.substr(0, line.find(' '));
      if (entry && domain != entry->domain) break;
      if (!entry) entry.emplace().domain = domain;
      if (!take(line.substr(std::min(line.size(), domain.size() + 1)), *entry)) {
        error_ = fmt::format("line {}: \"{}\" is not what posternd has written", number_ + 1, escaped(line, 80));
      }
      pass(line);
    }
    return error_.empty() ? entry : std::nullopt;
  }

  const std::string& error() const { return error_; }

 private:
  void pass(std::string_view line) {
    rest_.remove_prefix(std::min(rest_.size(), line.size() + 1));
    ++number_;
  }

  static bool take(std::string_view words, Entry& entry) {
    constexpr std::string_view live = "live ", kept = "kept ";
    if (words.starts_with(live)) {
      entry.live = words.substr(live.size());
      return true;
    }
    if (!words.starts_with(kept)) return false;
    words.remove_prefix(kept.size());
    const auto space = words.find(' ');
    if (space == std::string_view::npos) return false;
    const auto until = parse_time(words.substr(0, space));
    const auto name = DnsName::parse(words.substr(space + 1));
    const auto domain = DnsName::parse(entry.domain);
    if (!until || !name || !domain) return false;
    entry.kept.push_back({*domain, *name, *until});
    return true;
  }

  std::string_view rest_;
  std::size_t number_ = 0;
  std::string error_;
};

/// `604800 mx.example.com`: max_age and the hosts that the policy has senders go to. Empty: it holds nobody to anything.
std::string live_line(const Domain& domain) {
  if (!domain.has_policy_in_force()) return {};
  std::vector<std::string_view> hosts;
  for (const MxPattern& pattern : domain.policy->mx) {
    if (!pattern.wildcard) hosts.push_back(pattern.name.text());
  }
  for (const DnsName& mx : domain.mx) {
    if (domain.policy->allows(mx)) hosts.push_back(mx.text());
  }
  std::sort(hosts.begin(), hosts.end());
  hosts.erase(std::unique(hosts.begin(), hosts.end()), hosts.end());
  std::string line = fmt::format("{}", domain.policy->max_age.count());
  for (const auto host : hosts) line.append(" ").append(host);
  return line;
}

void keep(std::vector<KeptHost>& kept, const DnsName& domain, const DnsName& name, WallTime until) {
  const auto known = std::find_if(kept.begin(), kept.end(), [&](const KeptHost& host) { return host.name == name; });
  if (known == kept.end()) {
    kept.push_back({domain, name, until});
  } else {
    known->until = std::max(known->until, until);
  }
}

/// The policy of `line` is no longer served from now on.
void keep_hosts(std::string_view line, const DnsName& domain, WallTime now, std::vector<KeptHost>& kept) {
  const auto words = split(line, ' ');
  const auto seconds = parse_decimal(words.front());
  if (!seconds) return;
  const auto until = now + std::min(std::chrono::seconds(*seconds), max_age_max);
  if (const auto host = policy_host_of(domain)) keep(kept, domain, *host, until);
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (const auto name = DnsName::parse(words[i])) keep(kept, domain, *name, until);
  }
}

class Merger {
 public:
  explicit Merger(WallTime now) : now_(now) {}

  void take(const DnsName& name, const Entry* before, const std::string& live) {
    std::vector<KeptHost> kept;
    if (before != nullptr) {
      kept = before->kept;
      if (!before->live.empty() && before->live != live) keep_hosts(before->live, name, now_, kept);
    }
    if (!live.empty()) made_.text += fmt::format("{} live {}\n", name.text(), live);
    for (KeptHost& host : kept) {
      if (host.until <= now_) continue;
      made_.text += fmt::format("{} kept {} {}\n", name.text(), rfc3339(host.until), host.name.text());
      made_.kept.push_back(std::move(host));
    }
  }

  Remembered finish() {
    if (!made_.text.empty()) made_.text.insert(0, title);
    return std::move(made_);
  }

 private:
  WallTime now_;
  Remembered made_;
};

}  // namespace

Result<Remembered> remember(std::string_view stored, std::span<const Domain> domains, WallTime now) {
  TextReader reader(stored);
  Merger merger(now);
  auto before = reader.next();
  const auto take_gone = [&] {
    if (const auto name = DnsName::parse(before->domain)) merger.take(*name, &*before, {});
    before = reader.next();
  };
  for (const Domain& domain : domains) {
    while (before && before->domain < domain.name.text()) take_gone();
    const bool known = before && before->domain == domain.name.text();
    merger.take(domain.name, known ? &*before : nullptr, live_line(domain));
    if (known) before = reader.next();
  }
  while (before) take_gone();
  if (!reader.error().empty()) return fail("{}", reader.error());
  return merger.finish();
}

Result<std::vector<KeptHost>> kept_hosts(std::string_view stored) {
  TextReader reader(stored);
  std::vector<KeptHost> kept;
  while (auto entry = reader.next()) kept.insert(kept.end(), entry->kept.begin(), entry->kept.end());
  if (!reader.error().empty()) return fail("{}", reader.error());
  return kept;
}

}  // namespace postern::mtasts
