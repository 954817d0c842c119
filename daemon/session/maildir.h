// Maildirs as the embedded store writes them: a folder for each recipient, and a message that is either in `new` and on
// the disk, or nowhere. Everything here blocks: it runs on a worker pool, never on a loop.
//
//   DIR/user@example.com/tmp/1763925790.M104250P812Q7.mx1     while it is written
//   DIR/user@example.com/new/1763925790.M104250P812Q7.mx1     after fsync and rename
//
// Line ends stay CRLF: what lies in `new` is what was acknowledged, octet for octet, behind two fields of ours.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/address.h"

namespace postern::session {

/// The name of a recipient's folder: the address with its domain in canonical form, and everything but letters, digits
/// and `._+@-` as %XX, so that no address can name another folder than its own. A leading dot is encoded too: it would
/// hide the folder, and `..` is no folder of ours. Nothing when the name would be longer than a file name may be.
std::optional<std::string> maildir_folder(const smtp::Mailbox& recipient);

/// Why a message is not in a Maildir.
struct MaildirFailure {
  enum class Kind {
    Full,  ///< the disk, the quota, or the largest size of a file
    Other,
  };
  Kind kind;
  std::string text;  ///< for the operator: the path and the reason

  friend bool operator==(const MaildirFailure&, const MaildirFailure&) = default;
};

/// What became of one recipient's copy.
struct MaildirOutcome {
  std::string path;                       ///< where the message lies now
  std::optional<MaildirFailure> failure;  ///< then `path` is empty
};

/// One message for one or more recipients, written as it comes in. The content goes to the file of the first recipient
/// whose folder can be written, the others get copies of it in the end; so the disk sees it once while the sender is
/// slow, and memory never holds it.
///
/// To be used by one thread at a time. Destroying it removes what did not get into `new`.
class MaildirMessage {
 public:
  /// `directory` holds the folders. Each recipient must have a maildir_folder(). Nothing is touched before open().
  MaildirMessage(std::string directory, const smtp::ReversePath& from,
                 const std::vector<smtp::ForwardPath>& recipients);
  ~MaildirMessage();
  MaildirMessage(const MaildirMessage&) = delete;
  MaildirMessage& operator=(const MaildirMessage&) = delete;

  /// Makes the folders and starts the file. A failure means that no recipient at all can be served.
  std::optional<MaildirFailure> open();

  /// Appends to the message. A failure is remembered, and commit() tells it to everybody.
  void write(std::string_view bytes);

  /// fsync, rename to `new`, fsync of the folders, for each recipient; the outcomes are in the order of the recipients.
  /// What has no failure survives a power cut.
  std::vector<MaildirOutcome> commit();

 private:
  struct Copy {
    std::string folder;  // DIR/name
    std::string header;  // Return-Path and Delivered-To
    std::string file;    // its name in tmp and in new
    int descriptor = -1;
    bool in_tmp = false;  // to be removed
    std::optional<MaildirFailure> failure;
  };

  void start(Copy& copy);
  void append(Copy& copy, std::string_view bytes);
  void copy_content(Copy& to);
  void move_to_new(Copy& copy);
  void give_up(Copy& copy);

  std::string directory_;
  std::vector<Copy> copies_;
  Copy* content_ = nullptr;  // the copy that is written to as the message comes in
};

}  // namespace postern::session
