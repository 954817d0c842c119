#include "daemon/session/transaction.h"

#include <algorithm>
#include <utility>

#include "smtp/replies.h"

namespace postern::session {

std::shared_ptr<Transaction> Transaction::make(std::shared_ptr<const RunSettings> settings, smtp::ReversePath from,
                                               smtp::MailParameters parameters, observe::RecipientRecord facts,
                                               Journal& journal, Instant now) {
  std::shared_ptr<Transaction> made(new Transaction);
  made->settings_ = std::move(settings);
  made->from_ = std::move(from);
  made->parameters_ = parameters;
  made->facts_ = std::move(facts);
  made->facts_.from = made->from_.text();
  made->journal_ = &journal;
  made->began_ = now;
  return made;
}

void Transaction::accept(smtp::ForwardPath asked, std::string backend, smtp::ForwardPath to) {
  recipients_.push_back({std::move(asked), std::move(backend), std::move(to)});
}

void Transaction::refuse(const smtp::ForwardPath& asked, const std::string& backend, const smtp::Reply& reply,
                         Instant now) {
  log(asked, backend, {delivery::status_of(reply), reply}, now);
}

std::optional<smtp::ForwardPath> Transaction::only_recipient() const {
  if (recipients_.size() != 1) return std::nullopt;
  return recipients_.front().asked;
}

void Transaction::begin_message(std::shared_ptr<Message> message, std::string_view received_field) {
  message_ = std::move(message);
  message_->append(received_field);
}

void Transaction::append(std::string_view chunk) {
  message_id_.receive(chunk);
  message_->append(chunk);
}

void Transaction::drop_message() { message_.reset(); }

std::vector<Transaction::Part> Transaction::parts() const {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < recipients_.size(); ++i) {
    const Recipient& recipient = recipients_[i];
    auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.backend == recipient.backend; });
    if (part == parts.end()) {
      parts.push_back({recipient.backend, {}, {}, {}});
      part = parts.end() - 1;
    }
    // A recipient who was named twice gets one copy, and the two answers are the same.
    const auto path = std::find(part->paths.begin(), part->paths.end(), recipient.to);
    part->path_of.push_back(static_cast<std::size_t>(path - part->paths.begin()));
    if (path == part->paths.end()) part->paths.push_back(recipient.to);
    part->members.push_back(i);
  }
  return parts;
}

void Transaction::hand_off(Backends& backends, uv::Loop& loop, std::function<void(const smtp::Reply&)> done) {
  done_ = std::move(done);
  facts_.octets = message_->octets();
  facts_.message_id = message_id_.message_id();
  outcomes_.resize(recipients_.size());
  auto all = parts();
  parts_open_ = all.size();
  const Instant deadline = loop.now() + settings_->final_deadline;
  smtp::MailParameters parameters = parameters_;
  parameters.size = message_->octets();  // what the client declared knows nothing of our Received field
  for (Part& part : all) {
    Delivery delivery{part.backend, {from_, part.paths, parameters}, message_->reader(), deadline};
    backends.deliver(std::move(delivery),
                     [self = shared_from_this(), part = std::move(part), &loop](const Delivered& delivered) {
                       self->part_done(part, delivered, loop);
                     });
  }
}

void Transaction::part_done(const Part& part, const Delivered& delivered, uv::Loop& loop) {
  for (std::size_t i = 0; i < part.members.size(); ++i) {
    const std::size_t recipient = part.members[i];
    outcomes_[recipient] = delivered.outcomes[part.path_of[i]];
    log(recipients_[recipient].asked, delivered.target, outcomes_[recipient], loop.now());
  }
  if (--parts_open_ > 0) return;
  message_.reset();
  if (done_) std::exchange(done_, nullptr)(delivery::join(outcomes_, facts_.transaction));
}

void Transaction::refuse_message(const smtp::Reply& reply, Instant now) {
  facts_.message_id = message_id_.message_id();
  for (const Recipient& recipient : recipients_) {
    log(recipient.asked, recipient.backend, {delivery::status_of(reply), reply}, now);
  }
}

smtp::Reply Transaction::fail_locally(const Error& why, Instant now) {
  journal_->note(observe::Level::Error, facts_.transaction + ": " + why.text);
  const smtp::Reply reply = smtp::replies::storage_full;
  refuse_message(reply, now);
  return reply;
}

void Transaction::log(const smtp::ForwardPath& asked, const std::string& backend,
                      const delivery::RecipientOutcome& outcome, Instant now) {
  observe::RecipientRecord record = facts_;
  record.to = asked.text();
  record.backend = backend;
  record.delay = now - began_;
  record.code = outcome.reply.code;
  record.reply = outcome.reply.enhanced.empty() ? outcome.reply.text : outcome.reply.enhanced + " " + outcome.reply.text;
  record.status = delivery::to_string(outcome.status);
  journal_->record(record);
}

}  // namespace postern::session
