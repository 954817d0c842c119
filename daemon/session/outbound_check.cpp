#include "daemon/session/outbound_check.h"

#include <utility>

#include "daemon/session/identify.h"

namespace postern::session {

OutboundCheck::OutboundCheck(smtp::ReversePath from, smtp::ForwardPath to, smtp::MailParameters parameters,
                             delivery::Identity identity, proxy::ClientIdentity client,
                             std::function<void(const smtp::Reply&)> done)
    : from_(std::move(from)),
      to_(std::move(to)),
      parameters_(std::move(parameters)),
      identity_(identity),
      client_(std::move(client)),
      done_(std::move(done)) {
  // How large the message is going to be is not the recipient's business, and nobody knows it yet.
  parameters_.size.reset();
}

OutboundTask::Progress OutboundCheck::begin(BackendConnection& connection, Instant now) {
  smtp::Envelope envelope{from_, {to_}, parameters_};
  envelope.identify = identify_command(identity_, connection.session().extensions(), client_);
  connection.session().check(std::move(envelope), now);
  return Progress::Goes;
}

OutboundTask::Progress OutboundCheck::on_event(const smtp::ClientEvent& event) {
  if (const auto* checked = std::get_if<smtp::RecipientChecked>(&event)) reply_ = checked->reply;
  return reply_ ? Progress::Finished : Progress::Goes;
}

void OutboundCheck::conclude(const std::string&, const smtp::Reply& otherwise) {
  if (const auto done = std::exchange(done_, nullptr)) done(reply_ ? *reply_ : otherwise);
}

}  // namespace postern::session
