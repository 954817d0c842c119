// What a ClientSession has to say in a transaction, and what it was told so far. Internal to client_session.cpp, which
// has the course of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "smtp/client_session.h"
#include "smtp/dot_stuffing.h"
#include "smtp/peer_extensions.h"

namespace postern::smtp {

/// With their line ends. Only what the peer offers is said.
std::string mail_command(const Envelope& envelope, const PeerExtensions& offered);
/// `recipient` is its number in the envelope.
std::string rcpt_command(const Envelope& envelope, std::size_t recipient, const PeerExtensions& offered);

enum class Purpose { Check, Deliver };

/// One transaction or check under way.
struct ClientTransaction {
  Purpose purpose;
  Envelope envelope;
  std::vector<std::optional<Reply>> replies;  // final ones, for each recipient
  std::vector<std::size_t> accepted{};        // recipients that await a reply behind the dot
  bool sender_refused = false;
  std::size_t sent = 0;      // commands
  std::size_t answered = 0;  // commands, and then replies behind the dot
  DotStuffing stuffing{};

  std::size_t chunks_open = 0;  // BDATs without LAST that have no reply yet

  std::size_t recipients() const { return envelope.recipients.size(); }
  bool chunked() const {
    return purpose == Purpose::Deliver && envelope.parameters.body == MailParameters::Body::BinaryMime;
  }
  std::size_t commands() const { return recipients() + (chunked() ? 1 : 2); }
  bool says_xclient() const { return envelope.identify.starts_with("XCLIENT "); }
  bool decided() const {
    return std::all_of(replies.begin(), replies.end(), [](const auto& reply) { return reply.has_value(); });
  }
  void decide_rest(const Reply& reply) {
    for (auto& each : replies) {
      if (!each) each = reply;
    }
  }
};

}  // namespace postern::smtp
