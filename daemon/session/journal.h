// Where sessions say what happened. The sink behind it is app's.
#pragma once

#include <string_view>

#include "observe/event.h"
#include "observe/log_line.h"

namespace postern::session {

/// Callable from any thread; never blocks.
class Journal {
 public:
  virtual ~Journal() = default;
  virtual void record(const observe::SessionRecord& record) = 0;
  virtual void record(const observe::RecipientRecord& record) = 0;
  virtual void record(const observe::HttpRecord& record) = 0;
  virtual void note(observe::Level level, std::string_view message) = 0;
  /// As note(), with what the journal must know of the message.
  virtual void tell(const observe::Note& note) { this->note(note.level, note.message); }
  virtual void refused(const observe::RefusedCommand&) {}

  // For who counts; no log lines.
  /// The session's handshake has succeeded: what its record will say of it.
  virtual void established(const observe::SessionRecord&) {}
  virtual void handed_off(const observe::HandOff&) {}
};

}  // namespace postern::session
