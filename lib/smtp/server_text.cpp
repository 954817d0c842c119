// How a server session takes the text of a message, behind DATA and behind BDAT, and what it says to it.
#include <algorithm>

#include "smtp/server_state.h"

namespace postern::smtp {

namespace {

using Question = ReplyQueue::Question;

TransactionEnded::Why why_ended(BodyReader::Fault fault) {
  switch (fault) {
    case BodyReader::Fault::Smuggling: return TransactionEnded::Why::Smuggling;
    case BodyReader::Fault::TooManyHops: return TransactionEnded::Why::TooManyHops;
    case BodyReader::Fault::TooLarge:
    case BodyReader::Fault::LineTooLong: break;
  }
  return TransactionEnded::Why::MessageTooLarge;
}

const NamedReply& refusal(BodyReader::Fault fault) {
  switch (fault) {
    case BodyReader::Fault::Smuggling: return replies::smuggling;
    case BodyReader::Fault::TooManyHops: return replies::too_many_hops;
    case BodyReader::Fault::LineTooLong: return replies::text_line_too_long;
    case BodyReader::Fault::TooLarge: break;
  }
  return replies::message_too_large;
}

}  // namespace

bool ServerSession::State::read_body() {
  BodyReader& body = *transaction->body;
  std::string_view rest = inbox.view();
  const auto piece = body.read(rest);
  const auto used = inbox.size() - rest.size();
  text_octets += used;
  if (!piece.empty()) {
    lent = used;
    events.push_back(BodyChunk{piece});
    return true;
  }
  inbox.consume(used);
  if (body.fault()) end_transaction(why_ended(*body.fault()), refusal(*body.fault()));
  if (body.at_end()) {
    finish_body();
    return true;
  }
  if (events.empty() && input_ended) close(SessionClosing::Why::PeerClosed, std::nullopt);
  return !events.empty() || phase == Phase::Closing;
}

void ServerSession::State::finish_body() {
  waiting_since = now;
  if (const auto fault = transaction->body->fault()) return refuse_message(*fault);
  complete_message();
}

void ServerSession::State::complete_message() {
  phase = Phase::AwaitingOutcome;
  const bool for_each = transaction->prdr && transaction->recipients > 1;
  const auto form = options.dialect == Dialect::Lmtp ? OutcomeForm::ForEach
                    : for_each                        ? OutcomeForm::ForEachThenOverall
                                                      : OutcomeForm::One;
  events.push_back(MessageComplete{replies.ask(Question::Outcome), transaction->body->octets(), form});
}

void ServerSession::State::refuse_message(BodyReader::Fault fault) {
  if (fault == BodyReader::Fault::Smuggling) error_points += points_of_error;
  if (transaction->in_chunks && !transaction->last_chunk) {
    say(refusal(fault));
  } else {
    say_for_each_recipient(refusal(fault));
  }
  message_broken = transaction->in_chunks && !transaction->last_chunk;
  end_transaction(why_ended(fault), refusal(fault));
  transaction.reset();
  phase = Phase::Ready;
  if (chunk_left > 0) begin_eating(chunk_left);
}

bool ServerSession::State::read_chunk() {
  if (chunk_left == 0) {
    finish_chunk();
    return true;
  }
  BodyReader& body = *transaction->body;
  std::string_view rest = inbox.view().substr(0, chunk_left);
  const auto shown = rest.size();
  const auto piece = body.read(rest);
  const auto used = shown - rest.size();
  chunk_left -= used;
  text_octets += used;
  if (!piece.empty()) {
    lent = used;
    events.push_back(BodyChunk{piece});
    return true;
  }
  inbox.consume(used);
  if (body.fault()) {
    refuse_message(*body.fault());
  } else if (!rest.empty() && rest.size() == chunk_left) {
    body.end_chunk(rest);  // a CR, which is judged by what the next chunk begins with
    inbox.consume(rest.size());
    chunk_left = 0;
  } else if (used == 0) {
    if (input_ended) close(SessionClosing::Why::PeerClosed, std::nullopt);
    return input_ended;
  }
  return true;
}

bool ServerSession::State::eat_chunk() {
  const auto eaten = std::min<std::uint64_t>(chunk_left, inbox.size());
  inbox.consume(eaten);
  chunk_left -= eaten;
  text_octets += eaten;
  if (chunk_left == 0) {
    phase = phase_behind_chunk;
  } else if (input_ended) {
    close(SessionClosing::Why::PeerClosed, std::nullopt);
  }
  return phase != Phase::EatingChunk;
}

void ServerSession::State::finish_chunk() {
  waiting_since = now;
  if (!transaction->last_chunk && options.authority == Authority::Backend) {
    phase = Phase::Ready;
    events.push_back(ChunkComplete{replies.ask(Question::Chunk)});
    return;
  }
  if (!transaction->last_chunk) {
    phase = Phase::HasChunks;
    say(replies::chunk_received);
    return;
  }
  const auto line_end = transaction->body->finish_chunks();
  if (const auto fault = transaction->body->fault()) return refuse_message(*fault);
  if (!line_end.empty()) events.push_back(BodyChunk{line_end});
  complete_message();
}

/// The client's time for a message begins.
void ServerSession::State::begin_text(Phase next) {
  phase = next;
  text_began = now;
  text_octets = 0;
}

/// RFC 2033 section 4.2: behind the text, LMTP answers for each recipient.
void ServerSession::State::say_for_each_recipient(const NamedReply& reply) {
  const auto count = options.dialect == Dialect::Lmtp ? transaction->recipients : 1;
  for (std::size_t i = 0; i < count; ++i) say(reply);
}

void ServerSession::State::begin_body() {
  const bool in_chunks = transaction->in_chunks;
  const auto framing = transaction->binary ? Framing::BinaryChunks : in_chunks ? Framing::Chunks : Framing::Dots;
  transaction->body.emplace(
      BodyRules{options.smuggling, options.limits.message_octets_max, options.limits.text_line_octets_max, framing});
  begin_text(in_chunks ? Phase::ReceivingChunk : Phase::Receiving);
}

void ServerSession::State::note_body_answer(const Reply& reply) {
  const bool in_chunks = transaction->in_chunks;
  if (reply.intermediate()) {
    begin_body();
  } else if (in_chunks) {
    // The client may have sent more chunks already: none of them may be taken for the beginning of a message.
    end_transaction(TransactionEnded::Why::Reset);
    phase = Phase::Ready;
    begin_eating(chunk_left);
  } else {
    phase = Phase::HasRecipients;
  }
}

std::string ServerSession::State::rendered_answer(Question asked, const Reply& reply) const {
  if (asked != Question::Body || !transaction || !transaction->in_chunks) return render(reply);
  if (reply.intermediate()) return {};  // 354 is no reply to BDAT; the chunk is answered when it has been received
  std::string rendered;
  const bool for_each = options.dialect == Dialect::Lmtp && transaction->last_chunk;
  for (std::size_t i = 0; i < (for_each ? transaction->recipients : 1); ++i) rendered += render(reply);
  return rendered;
}

}  // namespace postern::smtp
