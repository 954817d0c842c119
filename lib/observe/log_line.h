// Records → log lines, readable or JSON. Everything from the wire is escaped here.
//
// Text: `2026-11-23T19:03:10Z info session id=... peer=[::1]:40000 helo=mx.example ...`. A value that holds a space, `=`
// or `"` stands in double quotes, `"` in it is `\"`. JSON: one object a line, with `time`, `level` and `event` before
// the same keys. In both, octets that are not printable ASCII, and the backslash, are `\xHH`, a value over 1024 octets
// is cut and ends in `...`, and a field that is empty is left out. Durations are in milliseconds.
#pragma once

#include <string>
#include <string_view>

#include "base/instant.h"
#include "observe/event.h"

namespace postern::observe {

enum class LineFormat { Text, Json };
enum class Level { Error, Warning, Info, Debug };

/// "error", "warning", "info", "debug"
std::string_view to_string(Level level);

/// One line without its LF, like the others.
std::string render(const SessionRecord& record, LineFormat format, WallTime time);
std::string render(const RecipientRecord& record, LineFormat format, WallTime time);
std::string render(const HttpRecord& record, LineFormat format, WallTime time);

/// Any other message of the daemon. Control characters and octets over 0x7e are escaped; backslashes, quotes and
/// parentheses stay, since a message holds prose: the caller escapes what it quotes from the wire (base/text.h).
std::string render(Level level, std::string_view message, LineFormat format, WallTime time);

}  // namespace postern::observe
