// A worker's way to the journal: counts what passes.
#pragma once

#include "daemon/session/counters.h"
#include "daemon/session/journal.h"

namespace postern::session {

/// Records and measurements come on the worker's loop; notes from any thread, uncounted.
class CountedJournal : public Journal {
 public:
  CountedJournal(Journal& next, Counters& counters) : next_(next), counters_(counters) {}

  void record(const observe::SessionRecord& record) override;
  void record(const observe::RecipientRecord& record) override;
  void record(const observe::HttpRecord& record) override;
  void note(observe::Level level, std::string_view message) override { next_.note(level, message); }
  void tell(const observe::Note& note) override { next_.tell(note); }
  void refused(const observe::RefusedCommand& command) override { next_.refused(command); }
  void established(const observe::SessionRecord& so_far) override;
  void handed_off(const observe::HandOff& hand_off) override;

 private:
  Journal& next_;
  Counters& counters_;
};

}  // namespace postern::session
