#include "relay/backend_session.h"

#include <utility>

#include "base/text.h"
#include "relay/offers.h"

namespace postern::relay {

BackendSession::BackendSession(BackendOptions options, Instant now)
    : options_(std::move(options)), output_(options_.preamble), now_(now), waiting_since_(now) {}

void BackendSession::receive(std::string_view bytes, Instant now) {
  if (stage_ == Stage::Failed) return;
  now_ = now;
  parser_.receive(bytes);
  while (stage_ != Stage::Failed) {
    auto reply = parser_.next();
    if (!reply) return fail(std::move(reply.error()), std::nullopt);
    if (!*reply) return;
    waiting_since_ = now;
    handle(std::move(**reply));
  }
}

void BackendSession::connection_lost(std::string reason, Instant now) {
  now_ = now;
  if (stage_ != Stage::Failed) fail({std::move(reason)}, std::nullopt);
}

std::optional<BackendEvent> BackendSession::next() {
  if (events_.empty()) return std::nullopt;
  std::optional<BackendEvent> oldest(std::move(events_.front()));
  events_.pop_front();
  return oldest;
}

std::string BackendSession::take_output() { return std::exchange(output_, {}); }

void BackendSession::handle(smtp::Reply reply) {
  if (stage_ != Stage::Talking) return handle_opening(std::move(reply));
  if (awaiting_.empty()) {
    // Nothing was asked: a backend that goes away says so (RFC 5321 section 3.8), or refuses a text before its end.
    std::string said = smtp::render(reply);
    said.resize(said.find_last_not_of("\r\n") + 1);
    return fail({"it said unasked: " + escaped(said)}, std::move(reply));
  }
  const Asked asked = awaiting_.front();
  awaiting_.pop_front();
  if (asked.verb == smtp::Verb::Ehlo && reply.positive()) {
    pipelining_ = !find_offer(offers_of(reply), "PIPELINING").empty();
  }
  events_.push_back(Replied{asked, std::move(reply)});
  release();
}

void BackendSession::handle_opening(smtp::Reply reply) {
  if (!reply.positive()) {
    Error error{"it refuses us: " + escaped(smtp::render(reply))};
    // A refused greeting is about the client; a refused XCLIENT is about us, and no word for the client.
    if (stage_ != Stage::Greeting) return fail(std::move(error), std::nullopt);
    return fail(std::move(error), std::move(reply));
  }
  switch (stage_) {
    case Stage::Greeting:
      if (options_.xclient) {
        stage_ = Stage::Hello;
        return say("EHLO " + options_.hostname);
      }
      break;
    case Stage::Hello:
      return say_xclient(reply);
    case Stage::Xclient:
    case Stage::Talking:
    case Stage::Failed:
      break;
  }
  stage_ = Stage::Talking;
  events_.push_back(Greeted{std::move(reply)});
}

/// The answer to XCLIENT is a new greeting (XCLIENT_README): the backend forgets all that it knows of the session.
void BackendSession::say_xclient(const smtp::Reply& hello) {
  const Offers offers = offers_of(hello);
  auto words = split(find_offer(offers, "XCLIENT"), ' ');
  auto command = proxy::xclient_command(*options_.xclient, words);
  // Going on as ourselves would give the client whatever our address is trusted with.
  if (words.size() < 2 || !command) return fail({"it does not offer us XCLIENT with ADDR"}, std::nullopt);
  stage_ = Stage::Xclient;
  say(*command);
}

void BackendSession::say(std::string_view line) {
  output_ += line;
  output_ += "\r\n";
}

void BackendSession::fail(Error error, std::optional<smtp::Reply> reply) {
  stage_ = Stage::Failed;
  output_.clear();
  events_.push_back(BackendFailed{std::move(error), std::move(reply)});
}

void BackendSession::send(std::string_view line, Asked asked, Instant now, std::string_view text) {
  if (stage_ != Stage::Talking) return;
  if (!pipelining_ && !awaiting_.empty()) {
    std::string bytes(line);
    bytes += "\r\n";
    bytes += text;
    held_octets_ += bytes.size();
    held_.push_back({std::move(bytes), asked});
    return;
  }
  say(line);
  output_ += text;
  expect(asked, now);
}

void BackendSession::release() {
  if (held_.empty() || !awaiting_.empty()) return;
  Held next = std::move(held_.front());
  held_.pop_front();
  held_octets_ -= next.bytes.size();
  output_ += next.bytes;
  expect(next.asked, now_);
}

void BackendSession::send_text(std::string_view bytes) {
  if (stage_ == Stage::Talking) output_ += bytes;
}

void BackendSession::expect(Asked asked, Instant now) {
  if (stage_ != Stage::Talking) return;
  if (awaiting_.empty()) waiting_since_ = now;
  awaiting_.push_back(asked);
}

std::vector<Asked> BackendSession::take_unanswered() {
  std::vector<Asked> all(awaiting_.begin(), awaiting_.end());
  for (const Held& held : held_) all.push_back(held.asked);
  awaiting_.clear();
  held_.clear();
  held_octets_ = 0;
  return all;
}

std::optional<Instant> BackendSession::deadline() const {
  if (stage_ == Stage::Failed) return std::nullopt;
  if (stage_ != Stage::Talking) return waiting_since_ + options_.timeouts.greeting;
  if (awaiting_.empty()) return std::nullopt;
  const bool after_dot = awaiting_.front().limit == Asked::Limit::AfterDot;
  return waiting_since_ + (after_dot ? options_.timeouts.after_dot : options_.timeouts.command);
}

void BackendSession::expire(Instant now) {
  const auto due = deadline();
  if (!due || now < *due) return;
  now_ = now;
  fail({stage_ == Stage::Talking ? "it did not answer in time" : "it did not greet us in time"}, std::nullopt);
}

}  // namespace postern::relay
