// Which of a backend's extensions a client is shown, and what follows for the parameters that it may use. Values only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/reply.h"
#include "smtp/server_session.h"  // Passing

namespace postern::relay {

/// The lines of an EHLO answer behind the first: "SIZE 1024", "8BITMIME".
using Offers = std::vector<std::string>;

Offers offers_of(const smtp::Reply& hello);

/// The line whose keyword this is; empty when it is not offered.
std::string_view find_offer(const Offers& offers, std::string_view keyword);

/// What all of them offer; of a keyword's arguments those that all have, and the smallest SIZE.
Offers common_offers(const std::vector<Offers>& all);

/// What may be said of a backend that was never spoken to: what every MTA offers, or what does not concern it.
Offers modest_offers();

struct OfferPolicy {
  enum class Starttls { Hidden, Offered };
  enum class Authentication { Hidden, Passed };

  std::vector<std::string> pass_extensions;  ///< unknown keywords that may pass
  Starttls starttls = Starttls::Hidden;      ///< ours; a backend's own never passes
  Authentication authentication = Authentication::Hidden;
  Offers own;                                ///< what we take ourselves, whatever the backend does: XCLIENT
  std::uint64_t message_octets_max = 0;      ///< SIZE says the smaller of this and the backend's
};

/// What a client is told, and what it may use.
struct Shown {
  smtp::Reply reply;
  smtp::Passing passing;
};
Shown shown_to_client(std::string_view hostname, const Offers& offers, const OfferPolicy& policy);

/// Keywords that `pass_extensions` must not name: they give a client what only we may use, or change the course of a
/// session in a way that postern would have to understand.
bool must_not_pass(std::string_view keyword);

}  // namespace postern::relay
