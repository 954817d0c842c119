// The score as it lies on the disk: a line with a check sum, and one of JSON. Counters are pairs of place and value, since
// most are zero. What is not exactly of this form is refused whole.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "base/text.h"
#include "report/score.h"

namespace postern::report {

namespace {

using Json = nlohmann::json;

constexpr std::string_view heading = "postern-score 1 ";
constexpr std::size_t slots_max = 200;      // of a row; there are about forty
constexpr std::size_t text_octets_max = 1024;
constexpr std::size_t list_items_max = 512;

/// FNV-1a: finds a file that was cut or damaged, and no enemy.
std::string check_sum(std::string_view text) {
  std::uint64_t sum = 0xcbf29ce484222325u;
  for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return fmt::format("{:016x}", sum);
}

template <class C>
Json slots_value(const Windowed<C>& windowed) {
  Json list = Json::array();
  for (const auto& slot : windowed.slots()) {
    Json counts = Json::array();
    for (std::size_t i = 0; i < C::count; ++i) {
      if (slot.counts.of[i] == 0) continue;
      counts.push_back(i);
      counts.push_back(slot.counts.of[i]);
    }
    list.push_back({slot.start.time_since_epoch().count(), slot.length.count(), std::move(counts)});
  }
  return list;
}

template <class C>
Json table_value(const TopTable<C>& table) {
  Json rows = Json::object();
  for (const auto& [key, row] : table.rows()) {
    rows[key] = {{"slots", slots_value(row.counts)}, {"weight", row.weight}, {"missing", row.missing}, {"notes", row.notes}};
  }
  return {{"rows", std::move(rows)}, {"floor", table.floor()}, {"dropped_at", table.dropped_at().time_since_epoch().count()}};
}

Json failure_value(const FailedHandshake& failure) {
  return {{"time", failure.time.time_since_epoch().count()},
          {"sender", failure.sender},
          {"address", failure.address},
          {"local", failure.local},
          {"stage", failure.stage},
          {"reason", failure.reason},
          {"alert", failure.alert},
          {"server_name", failure.server_name},
          {"version", failure.version},
          {"versions", failure.versions},
          {"cipher_suites", failure.cipher_suites},
          {"groups", failure.groups},
          {"signature_schemes", failure.signature_schemes},
          {"alpn", failure.alpn}};
}

/// Reads member after member; once one is wrong, everything is.
class Reader {
 public:
  bool good() const { return good_; }

  const Json& member(const Json& object, const char* key) {
    static const Json nothing;
    if (!object.is_object()) return reject(nothing);
    const auto found = object.find(key);
    return found == object.end() ? reject(nothing) : *found;
  }
  std::uint64_t number(const Json& value, std::uint64_t max) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max) return reject(std::uint64_t{0});
    return value.get<std::uint64_t>();
  }
  std::string text(const Json& value) {
    if (!value.is_string() || value.get_ref<const std::string&>().size() > text_octets_max) return reject(std::string());
    return value.get<std::string>();
  }
  const Json& list(const Json& value, std::size_t items_max) {
    static const Json nothing = Json::array();
    if (!value.is_array() || value.size() > items_max) return reject(nothing);
    return value;
  }
  WallTime time(const Json& value) {
    constexpr std::uint64_t year_9999 = 253'402'300'799;
    return WallTime{std::chrono::seconds(number(value, year_9999))};
  }

  template <class C>
  Windowed<C> windowed(const Json& value) {
    using Slots = std::vector<typename Windowed<C>::Slot>;
    Slots slots;
    for (const Json& each : list(value, slots_max)) {
      if (list(each, 3).size() != 3) return reject(Windowed<C>());
      typename Windowed<C>::Slot slot{time(each[0]), std::chrono::seconds(number(each[1], 24 * 3600)), {}};
      bool known = false;
      for (const auto step : Windowed<C>::steps) known = known || slot.length == step;
      const Json& counts = list(each[2], 2 * C::count);
      if (!known || counts.size() % 2 != 0) return reject(Windowed<C>());
      for (std::size_t i = 0; i < counts.size(); i += 2) {
        const auto place = number(counts[i], C::count - 1);
        slot.counts.of[place] = static_cast<std::uint32_t>(number(counts[i + 1], UINT32_MAX));
      }
      slots.push_back(std::move(slot));
    }
    Windowed<C> made;
    made.restore(std::move(slots));
    return made;
  }

  template <class C>
  void table(const Json& value, std::size_t rows_max, TopTable<C>& into) {
    typename TopTable<C>::Rows rows;
    const Json& all = member(value, "rows");
    if (!all.is_object()) return void(reject(0));
    for (const auto& [key, row] : all.items()) {
      if (key.size() > text_octets_max || !good_) return void(reject(0));
      typename TopTable<C>::Row made{windowed<C>(member(row, "slots")), number(member(row, "weight"), INT64_MAX),
                                     number(member(row, "missing"), INT64_MAX), texts(member(row, "notes"))};
      rows.emplace(key, std::move(made));
    }
    into.restore(std::move(rows), number(member(value, "floor"), INT64_MAX), time(member(value, "dropped_at")));
    into.resize(rows_max);
  }

  FailedHandshake failure(const Json& value) {
    FailedHandshake made;
    made.time = time(member(value, "time"));
    made.sender = text(member(value, "sender"));
    made.address = text(member(value, "address"));
    made.local = text(member(value, "local"));
    made.stage = text(member(value, "stage"));
    made.reason = text(member(value, "reason"));
    made.alert = text(member(value, "alert"));
    made.server_name = text(member(value, "server_name"));
    made.version = text(member(value, "version"));
    made.versions = numbers(member(value, "versions"));
    made.cipher_suites = numbers(member(value, "cipher_suites"));
    made.groups = numbers(member(value, "groups"));
    made.signature_schemes = numbers(member(value, "signature_schemes"));
    made.alpn = texts(member(value, "alpn"));
    return made;
  }

 private:
  template <class T>
  T& reject(T& instead) {
    good_ = false;
    return instead;
  }
  template <class T>
  std::remove_reference_t<T> reject(T&& instead)
    requires(!std::is_lvalue_reference_v<T>)
  {
    good_ = false;
    return std::forward<T>(instead);
  }
  std::vector<std::string> texts(const Json& value) {
    std::vector<std::string> made;
    for (const Json& each : list(value, list_items_max)) made.push_back(text(each));
    return made;
  }
  std::vector<std::uint16_t> numbers(const Json& value) {
    std::vector<std::uint16_t> made;
    for (const Json& each : list(value, list_items_max)) made.push_back(static_cast<std::uint16_t>(number(each, UINT16_MAX)));
    return made;
  }

  bool good_ = true;
};

}  // namespace

std::string Score::to_text() const {
  Json failures = Json::array();
  for (const FailedHandshake& failure : failures_) failures.push_back(failure_value(failure));
  const Json all{{"totals", slots_value(totals_)},     {"senders", table_value(senders_)},   {"domains", table_value(domains_)},
                 {"pairs", table_value(pairs_)},       {"refusals", table_value(refusals_)}, {"failures", std::move(failures)}};
  const std::string body = all.dump(-1, ' ', false, Json::error_handler_t::replace);
  return fmt::format("{}{}\n{}\n", heading, check_sum(body), body);
}

Result<Score> Score::from_text(std::string_view text, const ScoreSettings& settings) {
  const auto end = text.find('\n');
  if (!text.starts_with(heading) || end == std::string_view::npos || !text.ends_with('\n')) {
    return fail("it does not begin as a score does, or is cut");
  }
  const auto body = text.substr(end + 1, text.size() - end - 2);
  if (text.substr(heading.size(), end - heading.size()) != check_sum(body)) return fail("its check sum is wrong");
  const Json all = Json::parse(body, nullptr, false);  // no exceptions
  Reader reader;
  Score score(settings);
  score.totals_ = reader.windowed<SenderCounts>(reader.member(all, "totals"));
  reader.table(reader.member(all, "senders"), settings.senders_max, score.senders_);
  reader.table(reader.member(all, "domains"), settings.senders_max, score.domains_);
  reader.table(reader.member(all, "pairs"), settings.senders_max, score.pairs_);
  reader.table(reader.member(all, "refusals"), settings.senders_max, score.refusals_);
  for (const Json& each : reader.list(reader.member(all, "failures"), failures_max)) {
    score.failures_.push_back(reader.failure(each));
  }
  if (!reader.good()) return fail("something in it is missing, or of another form");
  return score;
}

}  // namespace postern::report
