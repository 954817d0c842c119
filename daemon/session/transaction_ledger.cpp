// What a transaction asks of the ledger and tells it. The rules, and why they end, are in delivery/ledger.h.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "daemon/session/identification.h"
#include "daemon/session/transaction.h"
#include "delivery/canonical_sender.h"
#include "smtp/replies.h"

namespace postern::session {

namespace {

// A disk that takes longer hangs. The sender gets its 451 all the same; the entries hold in memory.
constexpr Duration record_within = std::chrono::seconds(10);

constexpr const char* in_the_ledger = "ledger";  // in the place of a backend, in the log

bool has_its_answer(const smtp::Reply& reply) { return reply.positive() || reply.permanent(); }

}  // namespace

const std::string& Transaction::sender() {
  if (sender_.empty()) sender_ = delivery::canonical_sender(from_);
  return sender_;
}

delivery::EnvelopeKey Transaction::envelope(const smtp::ForwardPath& asked) {
  return delivery::envelope_key(services_.ledger.secret(), sender(), asked);
}

bool Transaction::admit(const smtp::ForwardPath& asked) {
  delivery::Ledger& ledger = services_.ledger;
  if (parameters_.prdr) return true;
  if (ledger.empty()) return separation_.admit(delivery::Lane::Open);
  // Who is named twice gets one copy, whatever the lane.
  const bool again = std::any_of(recipients_.begin(), recipients_.end(),
                                 [&](const Recipient& other) { return other.asked == asked; });
  if (again || separation_.admit(ledger.lane(envelope(asked)))) return true;
  ledger.count(delivery::LedgerUse::Separated);
  const smtp::Reply reply = smtp::replies::another_transaction;
  log(asked, in_the_ledger, {delivery::status_of(reply), reply}, "separated");
  return false;
}

bool Transaction::ledger_may_know_some() {
  return !services_.ledger.empty() &&
         std::any_of(recipients_.begin(), recipients_.end(),
                     [this](const Recipient& each) { return services_.ledger.knows(envelope(each.asked)); });
}

/// Reads the message only when somebody asks: while no outcome is mixed, nobody does.
void Transaction::with_key(Then then) {
  if (key_) return then(*key_);
  waiting_for_key_.push_back(std::move(then));
  if (waiting_for_key_.size() > 1) return;
  digest(message_->reader(), received_octets_, [self = shared_from_this()](Result<delivery::MessageDigester> digested) {
    if (digested) {
      self->key_ = digested->finish(self->services_.ledger.secret(), self->sender(), self->facts_.peer.address);
    } else {
      self->key_ = fail_with(digested.error());
    }
    for (const Then& waiting : std::exchange(self->waiting_for_key_, {})) waiting(*self->key_);
  });
}

void Transaction::look_up(const delivery::MessageKey& key) {
  delivery::Ledger& ledger = services_.ledger;
  for (std::size_t i = 0; i < recipients_.size(); ++i) {
    Recipient& recipient = recipients_[i];
    const auto asked = envelope(recipient.asked);
    const auto entry = ledger.find(asked, key);
    if (!entry && !ledger.held(asked, key)) continue;
    recipient.known = true;
    if (!entry) {
      const smtp::Reply wait = smtp::replies::still_being_delivered;
      outcomes_[i] = {delivery::status_of(wait), wait};
      log(recipient.asked, in_the_ledger, outcomes_[i]);
      continue;
    }
    const smtp::Reply reply = entry->refusal ? *entry->refusal : smtp::Reply(smtp::replies::taken_before);
    outcomes_[i] = {delivery::status_of(reply), reply};
    ledger.count(entry->refusal ? delivery::LedgerUse::Refused : delivery::LedgerUse::Deduplicated);
    log(recipient.asked, in_the_ledger, outcomes_[i], entry->refusal ? "refused" : "deduplicated");
  }
}

delivery::LedgerEntry Transaction::entry(const Recipient& recipient, const delivery::MessageKey& key) {
  return {envelope(recipient.asked), key, std::nullopt};
}

/// `wanted` says of which recipients, by their outcome. What came from the ledger is there already.
std::vector<delivery::LedgerEntry> Transaction::entries(const delivery::MessageKey& key, const Wanted& wanted) {
  std::vector<delivery::LedgerEntry> made;
  for (std::size_t i = 0; i < recipients_.size(); ++i) {
    const smtp::Reply& reply = outcomes_[i].reply;
    if (recipients_[i].known || !wanted(i, reply)) continue;
    made.push_back(entry(recipients_[i], key));
    if (reply.permanent()) made.back().refusal = reply;
  }
  return made;
}

void Transaction::hold(const delivery::MessageKey& key, bool (*wanted)(const Recipient&)) {
  std::vector<delivery::LedgerEntry> made;
  for (Recipient& recipient : recipients_) {
    if (recipient.known || recipient.held || !wanted(recipient)) continue;
    recipient.held = true;
    made.push_back(entry(recipient, key));
  }
  if (!made.empty()) services_.ledger.hold(made);
}

void Transaction::release(bool (*wanted)(const Recipient&)) {
  std::vector<delivery::LedgerEntry> made;
  for (Recipient& recipient : recipients_) {
    if (!recipient.held || !wanted(recipient)) continue;
    recipient.held = false;
    made.push_back(entry(recipient, **key_));
  }
  if (!made.empty()) services_.ledger.release(made);
}

Transaction::~Transaction() {
  release([](const Recipient&) { return true; });
}

void Transaction::abandoned() {
  if (!done_) return;
  with_key([self = shared_from_this()](const Result<delivery::MessageKey>& key) {
    if (key && self->done_) self->hold(*key, [](const Recipient&) { return true; });
  });
}

void Transaction::record_then_answer() {
  recording_ = true;
  record_timer_ = std::make_unique<uv::Timer>(
      services_.loop, [this] { recorded(fail("the disk has not answered in {}", readable(record_within))); });
  record_timer_->start_at(services_.loop.now() + record_within);
  with_key([self = shared_from_this()](const Result<delivery::MessageKey>& key) {
    if (!key) return self->recorded(fail_with(key.error()));
    self->hold(*key, [](const Recipient& recipient) { return recipient.awaited; });
    std::vector<delivery::LedgerEntry> made;
    if (self->form_ == smtp::OutcomeForm::One && delivery::mixed(self->outcomes_)) {
      made = self->entries(*key, [](std::size_t, const smtp::Reply& each) { return has_its_answer(each); });
    }
    if (made.empty()) return self->recorded({});  // all that differs is in the ledger already
    // Not the transaction itself: the ledger's thread must not be the one that frees it.
    self->services_.ledger.record(
        std::move(made), [weak = self->weak_from_this(), &loop = self->services_.loop](const Result<void>& result) {
          loop.post([weak, result] {
            if (const auto transaction = weak.lock()) transaction->recorded(result);
          });
        });
  });
}

/// Nobody waits for it to reach the disk: nothing more is said to the client.
void Transaction::record_quietly(const delivery::MessageKey& key, const Wanted& wanted) {
  auto made = entries(key, wanted);
  if (!made.empty()) services_.ledger.record(std::move(made), nullptr);
}

void Transaction::recorded(const Result<void>& result) {
  record_timer_.reset();
  if (!std::exchange(recording_, false)) return;
  if (!result) {
    services_.journal.note(observe::Level::Error,
                           fmt::format("{}: its mixed outcome is not safe on disk: {}; if posternd ends before it is, "
                                       "recipients may get the message twice",
                                       facts_.transaction, result.error().text));
  }
  answer_from_outcomes();
}

void Transaction::part_late(const Part& part, const Delivered& delivered) {
  std::vector<std::size_t> changed;
  for (std::size_t i = 0; i < part.members.size(); ++i) {
    const auto& outcome = delivered.outcomes[part.path_of[i]];
    recipients_[part.members[i]].awaited = false;
    auto& before = outcomes_[part.members[i]];
    if (outcome.status == before.status) continue;
    before = outcome;
    changed.push_back(part.members[i]);
    log(recipients_[part.members[i]].asked, delivered.target, outcome);
  }
  with_key([self = shared_from_this(), changed](const Result<delivery::MessageKey>& key) {
    if (!key) return;
    self->record_quietly(*key, [&](std::size_t recipient, const smtp::Reply& reply) {
      return has_its_answer(reply) && std::find(changed.begin(), changed.end(), recipient) != changed.end();
    });
    self->release([](const Recipient& recipient) { return !recipient.awaited; });
  });
}

void Transaction::told() {
  const bool final = reply_ && (form_ != smtp::OutcomeForm::One || has_its_answer(*reply_));
  if (!final || !key_ || !*key_) return;
  std::vector<delivery::LedgerEntry> done;
  for (std::size_t i = 0; i < recipients_.size(); ++i) {
    // Not those that an earlier try still holds: its answer is to come.
    if (recipients_[i].known && has_its_answer(outcomes_[i].reply)) done.push_back(entry(recipients_[i], **key_));
  }
  if (!done.empty()) services_.ledger.consume(done);
}

void Transaction::untold() {
  const bool some_taken = reply_ && (form_ != smtp::OutcomeForm::One || reply_->positive());
  if (!some_taken) return;
  with_key([self = shared_from_this()](const Result<delivery::MessageKey>& key) {
    if (key) self->record_quietly(*key, [](std::size_t, const smtp::Reply& reply) { return reply.positive(); });
  });
}

}  // namespace postern::session
