// What an inbound session does about mail: the events of the SMTP machine that belong to a transaction.
#include <cassert>
#include <utility>

#include "base/text.h"
#include "daemon/session/inbound.h"
#include "delivery/recipient_cache.h"
#include "smtp/replies.h"
#include "smtp/trace.h"

namespace postern::session {

namespace {

// A message is kept until the client shows that it has had the answer; but not a large one for a client that is idle.
constexpr std::uint64_t held_octets_max = 256 * 1024;

/// What a client meant for the path, as far as that can be said of a RCPT that was refused.
std::string_view path_in(std::string_view line) {
  const auto colon = line.find(':');
  return colon == std::string_view::npos ? line : line.substr(colon + 1);
}

}  // namespace

void Inbound::handle(const smtp::SenderOffered& event) {
  const auto settings = services_.settings.get();
  const std::uint64_t size = event.parameters.size.value_or(0);
  if (size > settings->spill_at && size + services_.budgets.spill.used() > settings->spill_octets_max) {
    count_word(services_.counters.limits_hit, "limits.spill_space");
    return smtp_->answer(event.number, smtp::replies::storage_full, services_.loop.now());  // RFC 1870 section 6.1
  }
  transaction_ = new_transaction(event.from, event.parameters);
  smtp_->answer(event.number, smtp::replies::sender_ok, services_.loop.now());
}

std::shared_ptr<Transaction> Inbound::new_transaction(const smtp::ReversePath& from,
                                                      const smtp::MailParameters& parameters) {
  auto made = Transaction::make({services_.loop, services_.backends, services_.budgets, services_.ledger, services_.journal},
                                services_.settings.get(), from, parameters, transaction_facts());
  if (dns_name_) made->name_client(*dns_name_);
  if (score_) {
    score_->mail_named();
    made->count_for(score_);
  }
  if (forwarded_) made->forward_for(*std::exchange(forwarded_, std::nullopt));
  return made;
}

void Inbound::handle(const smtp::RecipientOffered& event) {
  assert(transaction_);
  if (const auto refusal = may_name_recipients()) {
    count_word(services_.counters.limits_hit, "recipients.unknown");
    transaction_->refuse(event.to, "", *refusal);
    smtp_->answer(event.number, *refusal, services_.loop.now());
    turned_away_ = refusal->code == smtp::replies::too_many_unknown.code;
    return;
  }
  const auto route = transaction_->settings().routes->route(event.to, session_backend(transaction_->settings()));
  if (!route) {
    transaction_->refuse(event.to, "", route.error());
    smtp_->answer(event.number, route.error(), services_.loop.now());
    return;
  }
  if (const auto refusal = services_.backends.cannot_carry(route->backend->name, transaction_->parameters())) {
    transaction_->refuse(event.to, route->backend->name, *refusal);
    smtp_->answer(event.number, *refusal, services_.loop.now());
    return;
  }
  if (const auto refusal = services_.backends.too_busy(route->backend->name)) {
    count_word(services_.counters.limits_hit, "backend.max_waiting");
    transaction_->refuse(event.to, route->backend->name, *refusal);
    smtp_->answer(event.number, *refusal, services_.loop.now());
    return;
  }
  ++checks_open_;
  services_.backends.check(
      *route, transaction_->from(), transaction_->parameters(), transaction_->client_identity(),
      [&directory = services_.directory, id = id_, number = event.number, asked = event.to,
       parameters = event.parameters, transaction = transaction_](const Checked& checked) {
        Inbound* session = directory.find(id);
        if (session == nullptr) return;
        --session->checks_open_;
        if (session->transaction_ == transaction) session->recipient_checked(number, asked, parameters, checked);
      });
}

void Inbound::handle(const smtp::CommandRefused& event) {
  if (++refusals_ > refusals_told_max) return;
  if (event.verb == smtp::Verb::Rcpt) {
    auto record = transaction_ ? transaction_->facts() : session_facts();
    record.to = path_in(event.line);
    record.status = delivery::to_string(delivery::status_of(event.reply));
    record.code = event.reply.code;
    record.reply = event.reply.enhanced + " " + event.reply.text;
    return services_.journal.record(record);
  }
  services_.journal.refused({.session = record_.id,
                             .peer = peer_,
                             .verb = std::string(to_string(event.verb)),
                             .line = event.line,
                             .path = event.verb == smtp::Verb::Mail ? std::string(path_in(event.line)) : "",
                             .code = event.reply.code,
                             .reply = event.reply.enhanced + " " + event.reply.text});
}

/// A refusal for a client that has named too many recipients that do not exist: also those that do exist are refused
/// then, since the difference is what it wants to know.
std::optional<smtp::Reply> Inbound::may_name_recipients() {
  const auto& settings = transaction_->settings().harvest;
  switch (services_.harvest.look(peer_.address, settings, services_.loop.now())) {
    case HarvestTable::Verdict::Within: return std::nullopt;
    case HarvestTable::Verdict::AddressOver: return smtp::replies::too_many_unknown;
    case HarvestTable::Verdict::NetworkOver: return smtp::replies::network_has_too_many_unknown;
  }
  return std::nullopt;
}

void Inbound::recipient_checked(smtp::EventNumber number, const smtp::ForwardPath& asked,
                                const smtp::RecipientParameters& parameters, const Checked& checked) {
  if (phase_ != Phase::Talking) return;
  smtp::Reply reply = checked.reply;
  if (!reply.positive()) {
    transaction_->refuse(asked, checked.backend, reply);
    if (delivery::is_unknown_recipient(reply)) {
      services_.harvest.count(peer_.address, transaction_->settings().harvest, services_.loop.now());
    }
  } else if (const auto refusal = transaction_->accept(asked, checked.backend, checked.to, parameters)) {
    reply = *refusal;
  } else {
    ++record_.recipients;
    reply = smtp::replies::recipient_ok;
  }
  smtp_->answer(number, std::move(reply), services_.loop.now());
  pump();
}

void Inbound::handle(const smtp::BodyOffered& event) {
  if (!dns_name_ && writes_received_field()) {
    body_waiting_for_name_ = event;
    return;
  }
  if (relaying_) return relaying_->machine().handle(event, services_.loop.now());
  assert(transaction_);
  if (const auto refusal = transaction_->too_busy()) {
    count_word(services_.counters.limits_hit, "backend.max_waiting");
    return smtp_->answer(event.number, *refusal, services_.loop.now());
  }
  const RunSettings& settings = transaction_->settings();
  if (!Message::room_for_one(services_.budgets, settings.message_memory_max)) {
    count_word(services_.counters.limits_hit, "limits.message_memory");
    const smtp::Reply reply = transaction_->fail_locally(Error{"limits.message_memory is used up"});
    return smtp_->answer(event.number, reply, services_.loop.now());
  }
  auto message = Message::make(services_.loop, services_.spill_pool, services_.budgets,
                               {settings.spill_at, settings.spill_dir, settings.message_memory_max, settings.spill_octets_max});
  message->on_relief([&directory = services_.directory, id = id_] {
    if (Inbound* session = directory.find(id)) session->pump();
  });
  transaction_->begin_message(std::move(message), received_field(),
                              smtp::AuthenticationResultsFilter(settings.listeners.at(listener_).hostnames()));
  smtp_->answer(event.number, smtp::replies::start_input, services_.loop.now());
}

bool Inbound::writes_received_field() const {
  if (!relaying_) return true;
  const auto* backend = relaying_->backend();
  return backend != nullptr && backend->pass_through->trace == delivery::PassThrough::Trace::Received;
}

std::string Inbound::received_field() const {
  smtp::TraceFacts trace;
  trace.client_name = smtp_->client_name();
  trace.client_dns_name = record_.dns_name;
  trace.client_address = peer_.address;
  trace.by = hostname_;
  trace.protocol = smtp_->protocol_name();
  trace.transaction = transaction_->id();
  trace.for_path = transaction_->only_recipient();
  trace.tls_version = record_.tls_version;
  trace.tls_cipher = record_.tls_cipher;
  trace.server_name = record_.sni;
  trace.time = uv::wall_time();
  return smtp::received_field(trace);
}

void Inbound::handle(const smtp::BodyChunk& event) {
  if (relaying_) return relay_text(event);
  transaction_->append(event.bytes);
}

void Inbound::handle(const smtp::MessageComplete& event) {
  if (relaying_) return relay_end(event);
  record_.octets += event.octets;
  services_.counters.message_octets += event.octets;
  transaction_->end_message();
  transaction_->message()->finish(
      [&directory = services_.directory, id = id_, number = event.number, form = event.form](const Result<void>& written) {
        if (Inbound* session = directory.find(id)) session->message_written(number, form, written);
      });
}

void Inbound::message_written(smtp::EventNumber number, smtp::OutcomeForm form, const Result<void>& written) {
  if (phase_ != Phase::Talking) return;
  if (!written) return outcome_known(number, {{}, transaction_->fail_locally(written.error())});
  transaction_->hand_off(form, [&directory = services_.directory, &counters = services_.counters,
                                &journal = services_.journal, id = id_,
                                number](Transaction& transaction, const delivery::EachAndOverall& outcome) {
    counters.count_message(outcome.overall.code);
    Inbound* session = directory.find(id);
    if (session != nullptr && session->phase_ == Phase::Talking) return session->outcome_known(number, outcome);
    journal.tell({observe::Level::Warning,
                  transaction.id() + ": the client was gone before it could be told: " + outcome.overall.text,
                  transaction.addresses()});
    transaction.untold();
  });
}

void Inbound::outcome_known(smtp::EventNumber number, const delivery::EachAndOverall& outcome) {
  if (outcome.overall.positive()) ++record_.messages;
  settle_reply(Received::Surely);  // the one before, of a client that does not wait for replies
  answered_ = std::move(transaction_);
  // A client that ended its side before it was answered has as likely given up as it waits.
  if (peer_ended_) settle_reply(Received::Perhaps);
  if (outcome.each.empty()) {
    smtp_->answer(number, outcome.overall, services_.loop.now());
  } else {
    smtp_->answer_recipients(number, outcome.each, outcome.overall, services_.loop.now());
  }
  pump();
  const bool holds_much = answered_ && answered_->message() != nullptr && answered_->message()->octets() > held_octets_max;
  if (holds_much && socket_->unsent() == 0) settle_reply(Received::Surely);
}

/// What a client says next shows that it has had our reply; when its connection breaks instead, nobody can know.
void Inbound::settle_reply(Received received) {
  const auto transaction = std::exchange(answered_, nullptr);
  if (!transaction) return;
  if (received == Received::Surely) {
    transaction->told();
  } else {
    transaction->untold();
  }
}

void Inbound::handle(const smtp::TransactionEnded& event) {
  body_waiting_for_name_.reset();
  if (transaction_ && event.refusal) transaction_->refuse_message(*event.refusal);
  if (relaying_) relaying_->machine().handle(event, services_.loop.now());
  transaction_.reset();
}

observe::RecipientRecord Inbound::transaction_facts() {
  auto facts = session_facts();
  facts.transaction = services_.ids.next();
  return facts;
}

observe::RecipientRecord Inbound::session_facts() const {
  observe::RecipientRecord facts;
  facts.session = record_.id;
  facts.peer = peer_;
  facts.client_name = smtp_->client_name();
  facts.tls_version = record_.tls_version;
  facts.tls_cipher = record_.tls_cipher;
  facts.sni = record_.sni;
  return facts;
}

}  // namespace postern::session
