#include "daemon/session/outbound_delivery.h"

#include <utility>

#include "daemon/session/identify.h"

namespace postern::session {

namespace {

// More would only move the message from where it lies to where it waits; less would leave a fast backend idle.
constexpr std::size_t unsent_octets_max = 256 * 1024;
// A small message and its final dot go out in one piece: each write costs as much as some kilobytes in it.
constexpr std::size_t held_octets_max = 32 * 1024;

}  // namespace

OutboundDelivery::OutboundDelivery(smtp::Envelope envelope, std::unique_ptr<BodySource> body,
                                   delivery::Identity identity, proxy::ClientIdentity client, Callbacks callbacks)
    : envelope_(std::move(envelope)),
      source_(std::move(body)),
      identity_(identity),
      client_(std::move(client)),
      callbacks_(std::move(callbacks)),
      known_(envelope_.recipients.size()) {}

OutboundTask::Progress OutboundDelivery::begin(BackendConnection& connection, Instant now) {
  connection_ = &connection;
  if (std::exchange(body_, Body::Untouched) == Body::Reading) {
    // An attempt before this one broke off in the body. Its source's last callback never comes.
    source_ = source_->again();
    awaiting_piece_ = false;
  }
  known_.assign(envelope_.recipients.size(), std::nullopt);
  envelope_.identify = identify_command(identity_, connection.session().extensions(), client_);
  connection.session().deliver(envelope_, now);
  return Progress::Goes;
}

OutboundTask::Progress OutboundDelivery::on_event(const smtp::ClientEvent& event) {
  if (std::holds_alternative<smtp::BodyWanted>(event)) {
    body_ = Body::Reading;
    pull();
  }
  const auto* done = std::get_if<smtp::DeliveryDone>(&event);
  if (done == nullptr) return Progress::Goes;
  known_.assign(done->replies.begin(), done->replies.end());
  connection_ = nullptr;
  return Progress::Finished;
}

// A source in memory calls back within next(), one on disk later: the loop serves the former, on_piece() the latter.
void OutboundDelivery::pull() {
  if (pulling_) return;
  pulling_ = true;
  while (connection_ != nullptr && body_ == Body::Reading && !awaiting_piece_ &&
         connection_->unsent() < unsent_octets_max) {
    awaiting_piece_ = true;
    source_->next([this](Result<std::string_view> piece) { on_piece(std::move(piece)); });
    if (held_octets_ >= held_octets_max) flush();
  }
  pulling_ = false;
  flush();
}

void OutboundDelivery::flush() {
  held_octets_ = 0;
  if (connection_ != nullptr && body_ != Body::Failed) connection_->flush();
}

void OutboundDelivery::on_piece(Result<std::string_view> piece) {
  awaiting_piece_ = false;
  if (connection_ == nullptr) return;
  if (!piece) {
    body_ = Body::Failed;
    connection_->session().abandon();
    return callbacks_.body_failed(piece.error());
  }
  if (piece->empty()) {
    body_ = Body::Sent;
    connection_->session().finish_body(connection_->now());
  } else {
    connection_->session().send_body(*piece, connection_->now());
    held_octets_ += piece->size();
  }
  pull();
}

void OutboundDelivery::on_lost(const smtp::SessionFailed* failed) {
  if (connection_ == nullptr) return;
  auto said = failed != nullptr ? failed->replies : connection_->session().replies_so_far();
  if (said.size() == known_.size()) known_ = std::move(said);
  connection_ = nullptr;
}

std::vector<std::string> OutboundDelivery::addresses() const {
  std::vector<std::string> all{envelope_.from.text()};
  for (const smtp::ForwardPath& to : envelope_.recipients) all.push_back(to.text());
  return all;
}

void OutboundDelivery::conclude(const std::string& target, const smtp::Reply& otherwise) {
  if (connection_ != nullptr) known_ = connection_->session().replies_so_far();
  Delivered delivered{{}, target, connection_ != nullptr && body_ == Body::Sent};
  for (std::size_t i = 0; i < envelope_.recipients.size(); ++i) {
    const auto& reply = i < known_.size() && known_[i] ? *known_[i] : otherwise;
    delivered.outcomes.push_back({delivery::status_of(reply), reply});
  }
  if (const auto done = std::exchange(callbacks_.done, nullptr)) return done(std::move(delivered));
  callbacks_.late(envelope_, delivered);
}

}  // namespace postern::session
