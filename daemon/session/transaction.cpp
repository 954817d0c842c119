#include "daemon/session/transaction.h"

#include <algorithm>
#include <utility>

#include "smtp/replies.h"

namespace postern::session {

namespace {

constexpr std::uint64_t envelope_octets_free = 16 * 1024;
constexpr std::size_t addresses_max = 100;

}  // namespace

std::shared_ptr<Transaction> Transaction::make(const TransactionServices& services,
                                               std::shared_ptr<const RunSettings> settings, smtp::ReversePath from,
                                               smtp::MailParameters parameters, observe::RecipientRecord facts) {
  std::shared_ptr<Transaction> made(new Transaction(services, std::move(settings)));
  made->from_ = std::move(from);
  made->parameters_ = std::move(parameters);
  made->facts_ = std::move(facts);
  made->facts_.from = made->from_.text();
  made->began_ = services.loop.now();
  return made;
}

std::optional<smtp::Reply> Transaction::accept(smtp::ForwardPath asked, std::string backend, smtp::ForwardPath to,
                                               smtp::RecipientParameters parameters) {
  if (!admit(asked)) return smtp::replies::another_transaction;
  Recipient recipient{std::move(asked), std::move(backend), std::move(to), std::move(parameters)};
  if (!has_room_for(recipient)) {
    refuse(recipient.asked, recipient.backend, smtp::replies::storage_full);
    return smtp::replies::storage_full;
  }
  recipients_.push_back(std::move(recipient));
  return std::nullopt;
}

/// What a few recipients need is part of what every session may have; many are counted as a message is.
bool Transaction::has_room_for(const Recipient& recipient) {
  const auto octets_of = [](const smtp::ForwardPath& path) {
    return path.mailbox.local_part.size() + path.mailbox.domain.size();
  };
  envelope_octets_ += sizeof(Recipient) + octets_of(recipient.asked) + octets_of(recipient.to) +
                      recipient.backend.size() + recipient.parameters.orcpt.size();
  return envelope_octets_ <= envelope_octets_free || envelope_share_.hold(envelope_octets_);
}

void Transaction::refuse(const smtp::ForwardPath& asked, const std::string& backend, const smtp::Reply& reply) {
  log(asked, backend, {delivery::status_of(reply), reply});
}

void Transaction::name_client(const ClientDnsName& name) {
  client_name_ = name;
  if (name.name) facts_.dns_name = name.name->text();
}

std::optional<smtp::ForwardPath> Transaction::only_recipient() const {
  if (recipients_.size() != 1) return std::nullopt;
  return recipients_.front().asked;
}

void Transaction::begin_message(std::shared_ptr<Message> message, std::string_view received_field,
                                smtp::AuthenticationResultsFilter claims) {
  message_ = std::move(message);
  claims_ = std::move(claims);
  received_octets_ = received_field.size();
  message_->append(received_field);
}

void Transaction::append(std::string_view chunk) {
  for (auto piece = claims_->read(chunk); !piece.empty(); piece = claims_->read(chunk)) pass(piece);
}

void Transaction::end_message() { pass(claims_->finish()); }

void Transaction::pass(std::string_view piece) {
  message_id_.receive(piece);
  message_->append(piece);
}

std::vector<Transaction::Part> Transaction::parts() const {
  std::vector<Part> parts;
  for (std::size_t i = 0; i < recipients_.size(); ++i) {
    const Recipient& recipient = recipients_[i];
    if (recipient.known) continue;
    auto part = std::find_if(parts.begin(), parts.end(), [&](const Part& p) { return p.backend == recipient.backend; });
    if (part == parts.end()) {
      parts.push_back({recipient.backend, {}, {}, {}, {}});
      part = parts.end() - 1;
    }
    // A recipient who was named twice gets one copy, and the two answers are the same.
    const auto path = std::find(part->paths.begin(), part->paths.end(), recipient.to);
    part->path_of.push_back(static_cast<std::size_t>(path - part->paths.begin()));
    if (path == part->paths.end()) {
      part->paths.push_back(recipient.to);
      part->parameters.push_back(recipient.parameters);
    }
    part->members.push_back(i);
  }
  return parts;
}

void Transaction::hand_off(smtp::OutcomeForm form, Done done) {
  form_ = form;
  done_ = std::move(done);
  handed_off_at_ = services_.loop.now();
  final_deadline_ = handed_off_at_ + settings_->final_deadline;
  facts_.octets = message_->octets();
  facts_.message_id = message_id_.message_id();
  outcomes_.resize(recipients_.size());
  if (!ledger_may_know_some()) return deliver();
  with_key([self = shared_from_this()](const Result<delivery::MessageKey>& key) {
    if (!key) return self->answer({{}, self->fail_locally(key.error())});
    self->look_up(*key);
    self->deliver();
  });
}

void Transaction::deliver() {
  auto all = parts();
  if (all.empty()) return all_done();
  parts_open_ = all.size();
  smtp::MailParameters parameters = parameters_;
  parameters.size = message_->octets();  // what the client declared knows nothing of our Received field
  for (Part& each : all) {
    const auto part = std::make_shared<const Part>(std::move(each));
    Delivery delivery;
    delivery.backend = part->backend;
    delivery.envelope = {from_, part->paths, parameters, part->parameters};
    delivery.body = message_->reader();
    delivery.final_deadline = final_deadline_;
    delivery.client = client_identity();
    delivery.late = [self = shared_from_this(), part](const Delivered& delivered) { self->part_late(*part, delivered); };
    services_.backends.deliver(std::move(delivery), [self = shared_from_this(), part](const Delivered& delivered) {
      self->part_done(*part, delivered);
    });
  }
}

void Transaction::forward_for(proxy::ClientIdentity client) {
  const auto note = [this](const std::string& what) { facts_.forwarded_for += (facts_.forwarded_for.empty() ? "" : " ") + what; };
  if (client.address) note(Endpoint{*client.address, client.port.value_or(0)}.text());
  if (client.name) note("name=" + *client.name);
  if (client.hello_name) note("helo=" + *client.hello_name);
  if (client.identifier) note("id=" + *client.identifier);
  forwarded_ = std::move(client);
}

proxy::ClientIdentity Transaction::client_identity() const {
  proxy::ClientIdentity client;
  if (forwarded_ && forwarded_->address) {
    client = *forwarded_;
    client.identifier = facts_.transaction;
    return client;
  }
  client.address = facts_.peer.address;
  client.port = facts_.peer.port;
  if (!facts_.client_name.empty()) client.hello_name = facts_.client_name;
  client.protocol = "ESMTP";
  client.identifier = facts_.transaction;
  client.origin = "REMOTE";
  tell_name(client_name_, client);
  return client;
}

std::vector<std::string> Transaction::addresses() const {
  std::vector<std::string> all{from_.text()};
  for (const Recipient& recipient : recipients_) {
    if (all.size() > addresses_max) break;
    all.push_back(recipient.asked.text());
    if (recipient.to != recipient.asked) all.push_back(recipient.to.text());
  }
  return all;
}

void Transaction::part_done(const Part& part, const Delivered& delivered) {
  note_others();
  observe::HandOff hand_off{.backend = part.backend, .duration = services_.loop.now() - handed_off_at_};
  for (std::size_t i = 0; i < part.members.size(); ++i) {
    const std::size_t recipient = part.members[i];
    outcomes_[recipient] = delivered.outcomes[part.path_of[i]];
    recipients_[recipient].awaited =
        delivered.more_may_come && outcomes_[recipient].status == delivery::RecipientOutcome::Status::Deferred;
    log(recipients_[recipient].asked, delivered.target, outcomes_[recipient]);
    switch (outcomes_[recipient].status) {
      case delivery::RecipientOutcome::Status::Taken: ++hand_off.taken; break;
      case delivery::RecipientOutcome::Status::Refused: ++hand_off.refused; break;
      case delivery::RecipientOutcome::Status::Deferred: ++hand_off.deferred; break;
    }
  }
  services_.journal.handed_off(hand_off);
  if (--parts_open_ == 0) all_done();
}

void Transaction::all_done() {
  const bool awaited = std::any_of(recipients_.begin(), recipients_.end(), [](const auto& each) { return each.awaited; });
  const bool one_for_all = form_ == smtp::OutcomeForm::One;
  if (awaited || (one_for_all && delivery::mixed(outcomes_))) return record_then_answer();
  answer_from_outcomes();
}

void Transaction::answer_from_outcomes() {
  if (form_ == smtp::OutcomeForm::One) return answer({{}, delivery::join(outcomes_, facts_.transaction)});
  answer(delivery::answer_each(outcomes_, facts_.transaction));
}

void Transaction::answer(const delivery::EachAndOverall& reply) {
  const auto self = shared_from_this();  // the answer may be the end of all who hold us
  reply_ = reply.overall;
  if (const auto done = std::exchange(done_, nullptr)) done(*this, reply);
  release([](const Recipient& recipient) { return !recipient.awaited; });
}

void Transaction::refuse_message(const smtp::Reply& reply) {
  facts_.message_id = message_id_.message_id();
  note_others();
  for (const Recipient& recipient : recipients_) refuse(recipient.asked, recipient.backend, reply);
}

/// From here on a reply may be about any of the recipients.
void Transaction::note_others() {
  if (!facts_.others) facts_.others = std::make_shared<const std::vector<std::string>>(addresses());
}

std::optional<smtp::Reply> Transaction::too_busy() {
  for (const Recipient& recipient : recipients_) {
    const auto refusal = services_.backends.too_busy(recipient.backend);
    if (!refusal) continue;
    refuse_message(*refusal);
    return refusal;
  }
  return std::nullopt;
}

void Transaction::note_recipient(smtp::ForwardPath to, std::string backend) {
  recipients_.push_back({to, std::move(backend), std::move(to), {}, {}});
}

void Transaction::settle(const smtp::Reply& reply, std::uint64_t octets) {
  facts_.octets = octets;
  refuse_message(reply);
}

smtp::Reply Transaction::fail_locally(const Error& why) {
  services_.journal.tell({.level = observe::Level::Error, .message = facts_.transaction + ": " + why.text, .topic = why.text});
  const smtp::Reply reply = smtp::replies::storage_full;
  refuse_message(reply);
  return reply;
}

void Transaction::log(const smtp::ForwardPath& asked, const std::string& backend,
                      const delivery::RecipientOutcome& outcome, std::string_view status) {
  observe::RecipientRecord record = facts_;
  record.to = asked.text();
  record.backend = backend;
  record.delay = services_.loop.now() - began_;
  record.code = outcome.reply.code;
  record.reply = outcome.reply.enhanced.empty() ? outcome.reply.text : outcome.reply.enhanced + " " + outcome.reply.text;
  record.status = status;
  if (score_) {
    record.sts = score_->sts(asked);
    // What the ledger says was taken, was counted when it was.
    const bool taken = status == delivery::to_string(delivery::RecipientOutcome::Status::Taken);
    if (taken) score_->took(asked, facts_.transaction);
  }
  services_.journal.record(record);
}

}  // namespace postern::session
