// systemd's journal by its native protocol (systemd, "Native Journal Protocol"): datagrams of fields, so that
// `journalctl POSTERN_TO=...` finds what a line is about.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/descriptor.h"

namespace postern::app {

class SystemJournal {
 public:
  /// The journal, when standard error is a stream to it (JOURNAL_STREAM, systemd.exec(5)); null when it is not.
  static std::unique_ptr<SystemJournal> of_standard_error();

  /// One entry: `NAME=value` lines. Blocks while the journal has no room. False when there is no journal.
  bool send(std::string_view entry) const;

  /// An entry as the line that the journal takes from standard error: `<priority>message` (sd-daemon(3)).
  static std::string as_line(std::string_view entry);

 private:
  explicit SystemJournal(int socket) : socket_(socket) {}

  Descriptor socket_;
};

}  // namespace postern::app
