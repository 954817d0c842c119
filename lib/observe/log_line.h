// Records → log lines, readable or JSON. Everything from the wire is escaped here.
//
// Text: `2026-11-23T19:03:10Z info session id=... peer=[::1]:40000 helo=mx.example ...`. A value that holds a space, `=`
// or `"` stands in double quotes, `"` in it is `\"`. JSON: one object a line, with `time`, `level` and `event` before
// the same keys. In both, octets that are not printable ASCII, and the backslash, are `\xHH`, a value over 1024 octets
// is cut and ends in `...`, and a field that is empty is left out. Durations are in milliseconds.
//
// For systemd's journal a line becomes an entry of its native protocol (systemd's "Native Journal Protocol"): MESSAGE is
// the line without its time and level, and each field is a field again, `from` as POSTERN_FROM.
#pragma once

#include <string>
#include <string_view>

#include "base/instant.h"
#include "observe/address_veil.h"
#include "observe/event.h"

namespace postern::observe {

enum class LineFormat { Text, Json };
enum class Framing {
  Line,
  JournalEntry,  ///< each part of it ends in LF; an empty line would end it, and none is in it
};

struct LineStyle {
  LineStyle(LineFormat format_ = LineFormat::Text, Framing framing_ = Framing::Line, const AddressVeil& addresses_ = {})
      : format(format_), framing(framing_), addresses(addresses_) {}

  LineFormat format;
  Framing framing;
  AddressVeil addresses;
};

/// One line without its LF, like the others.
std::string render(const SessionRecord& record, const LineStyle& style, WallTime time);
std::string render(const RecipientRecord& record, const LineStyle& style, WallTime time);
std::string render(const HttpRecord& record, const LineStyle& style, WallTime time);
std::string render(const RefusedCommand& refused, const LineStyle& style, WallTime time);

/// Any other message of the daemon. Control characters and octets over 0x7e are escaped; backslashes, quotes and
/// parentheses stay, since a message holds prose: the caller escapes what it quotes from the wire (base/text.h).
std::string render(const Note& note, const LineStyle& style, WallTime time);
std::string render(Level level, std::string_view message, const LineStyle& style, WallTime time);

}  // namespace postern::observe
