#include "daemon/session/counted_journal.h"

namespace postern::session {

namespace {

/// The log's "default" is two things here: a name that is not in the map, and no name.
std::string sni_of(const observe::SessionRecord& record) {
  if (record.sni_match.empty()) return "unseen";
  if (record.sni_match != "default") return record.sni_match;
  return record.sni.empty() ? "none" : "unknown";
}

}  // namespace

void CountedJournal::record(const observe::SessionRecord& record) {
  // What stands behind a colon is for people.
  count_word(counters_.sessions_ended, std::string_view(record.outcome).substr(0, record.outcome.find(':')));
  if (!record.tls && !record.tls_error.empty()) {
    const bool timed_out = record.outcome == "TLS handshake timed out";
    ++counters_.handshakes[{timed_out ? "timed_out" : "failed", record.tls_version, sni_of(record)}];
  }
  next_.record(record);
}

void CountedJournal::record(const observe::RecipientRecord& record) {
  count_word(counters_.recipients, record.status);
  next_.record(record);
}

void CountedJournal::record(const observe::HttpRecord& record) {
  ++counters_.http_requests[record.status];
  next_.record(record);
}

void CountedJournal::established(const observe::SessionRecord& so_far) {
  ++counters_.handshakes[{"established", so_far.tls_version, sni_of(so_far)}];
  if (so_far.resumed) ++counters_.handshakes_resumed;
  counters_.handshake_duration.count(so_far.handshake);
}

void CountedJournal::handed_off(const observe::HandOff& hand_off) {
  HandOffCounts& counts = counters_.hand_offs[hand_off.backend];
  counts.taken += hand_off.taken;
  counts.refused += hand_off.refused;
  counts.deferred += hand_off.deferred;
  counts.duration.count(hand_off.duration);
}

}  // namespace postern::session
