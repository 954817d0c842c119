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

/// The one reply to the end of data. `transaction` is the id that is named behind the backend's text.
/// Mixed outcomes answer `451`: the ledger is what makes the retry safe.
smtp::Reply join(const std::vector<RecipientOutcome>& outcomes, const std::string& transaction);

}  // namespace postern::delivery
