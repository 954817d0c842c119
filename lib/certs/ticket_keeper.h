// The keys that session tickets are sealed with: of this process alone, replaced once a ticket lifetime; or those of a
// file that several machines share, read again when it changes. Looked after by whoever looks at the certificates.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/instant.h"
#include "certs/fault.h"
#include "certs/item.h"
#include "certs/loader.h"
#include "tls/settings.h"
#include "tls/ticket_keys.h"

namespace postern::certs {

class TicketKeeper {
 public:
  /// Begins with random keys, made at `now`.
  TicketKeeper(std::shared_ptr<FileSource> files, Instant now);

  /// One for the life of the process: contexts of every generation share it, so that a reload ends no ticket.
  const std::shared_ptr<const tls::TicketKeyring>& keyring() const { return keyring_; }

  struct Look {
    bool taken_from_file = false;     ///< the keys of the file are in use from now on, or others of it than before
    std::optional<Fault> new_fault;   ///< that the look before did not have: to be logged
  };
  /// Reads the file when it has changed, or makes a new key when the one in use is a lifetime old. A file that is bad
  /// keeps the keys that there are. Blocking; one thread at a time.
  Look look(const tls::TlsSettings& settings, Instant now);

  /// What is wrong with the file as it is now.
  const std::optional<Fault>& fault() const { return fault_; }
  /// Folders in which a change may concern the file.
  const std::vector<std::string>& watched_directories() const { return folders_; }

 private:
  Look look_at_file(const std::string& path);
  Result<void> read_file(const std::string& path);
  void forget_file();
  void rotate(Instant now);

  std::shared_ptr<FileSource> files_;
  std::shared_ptr<tls::TicketKeyring> publisher_;
  std::shared_ptr<const tls::TicketKeyring> keyring_;
  std::optional<Instant> made_at_;  // of the key that seals; nothing while a file says what the keys are
  std::string path_;
  Seen seen_;
  std::optional<Fault> fault_;
  std::vector<std::string> folders_;
};

}  // namespace postern::certs
