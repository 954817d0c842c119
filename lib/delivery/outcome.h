// Many LMTP replies → one SMTP reply: the table of DESIGN section 3, and nowhere else.
#pragma once

#include <string>
#include <vector>

#include "smtp/reply.h"

namespace postern::delivery {

/// What became of one recipient.
struct RecipientOutcome {
  enum class Status { Taken, Refused, Deferred };
  Status status = Status::Deferred;
  smtp::Reply reply;  ///< the backend's own, or ours when it could not say
};

RecipientOutcome::Status status_of(const smtp::Reply& reply);
std::string_view to_string(RecipientOutcome::Status status);

/// Whether recipients fared so differently that the one reply cannot be true for all of them: it is `451` then, and those
/// that were taken or refused belong into the ledger (ledger.h), which makes the retry safe.
bool mixed(const std::vector<RecipientOutcome>& outcomes);

/// The one reply to the end of data. `transaction` is the id that is named behind the backend's text.
smtp::Reply join(const std::vector<RecipientOutcome>& outcomes, const std::string& transaction);

/// For a sender that takes a reply for each recipient (PRDR). Nothing is mixed then.
struct EachAndOverall {
  std::vector<smtp::Reply> each;  ///< in the order of the outcomes, each with the id
  smtp::Reply overall;            ///< `250` if any was taken; else that of all, or of those that may be tried again
};
EachAndOverall answer_each(const std::vector<RecipientOutcome>& outcomes, const std::string& transaction);

}  // namespace postern::delivery
