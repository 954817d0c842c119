// Records → log lines, readable or JSON. Everything from the wire is escaped here.
#pragma once

#include <string>
#include <string_view>

#include "base/instant.h"
#include "observe/event.h"

namespace postern::observe {

enum class LineFormat { Text, Json };
enum class Level { Error, Warning, Info, Debug };

std::string render(const SessionRecord& record, LineFormat format, WallTime time);
std::string render(const RecipientRecord& record, LineFormat format, WallTime time);
/// Any other message of the daemon.
std::string render(Level level, std::string_view message, LineFormat format, WallTime time);

}  // namespace postern::observe
