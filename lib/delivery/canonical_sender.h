// The address behind a sender address that is made anew for each try or each recipient.
#pragma once

#include <string>

#include "smtp/address.h"

namespace postern::delivery {

/// The same text for the senders of all tries at one message; nothing but the ledger may use it, since it need not be
/// an address that takes mail. Unwrapped are
///
///   BATV    prvs=TAG=user@example.com, and the older prvs=user/TAG@example.com   → user@example.com
///   SRS     SRS0=HASH=TT=example.com=user@forwarder, SRS1=HASH=first==HASH=TT=example.com=user@second (or + or - for
///           the first =)                                                         → user@example.com
///   VERP    list-bounces+user=example.org@lists.example, list-return-7-user=example.org@lists.example
///                                                                                → list-bounces@lists.example, ...
///
/// one inside the other too. The domain is in lower case. The null sender is "<>".
std::string canonical_sender(const smtp::ReversePath& from);

}  // namespace postern::delivery
