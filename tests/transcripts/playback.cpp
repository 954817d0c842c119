#include "tests/transcripts/playback.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "tests/support/catch.h"

namespace postern::transcripts {

namespace {

using smtp::TransactionEnded;

std::string_view describe(TransactionEnded::Why why) {
  switch (why) {
    case TransactionEnded::Why::Reset: return "reset";
    case TransactionEnded::Why::Hello: return "hello";
    case TransactionEnded::Why::MessageTooLarge: return "too large";
    case TransactionEnded::Why::Smuggling: return "smuggling";
    case TransactionEnded::Why::TooManyHops: return "too many hops";
    case TransactionEnded::Why::Closing: return "closing";
  }
  return "";
}

bool take_line(std::string_view& rest, std::string_view wanted) {
  if (!rest.starts_with(wanted) || !rest.substr(wanted.size()).starts_with("\r\n")) return false;
  rest.remove_prefix(wanted.size() + 2);
  return true;
}

bool take_any_reply(std::string_view& rest, std::string_view code) {
  while (rest.starts_with(code)) {
    const bool last = rest.substr(3, 1) == " ";
    rest.remove_prefix(rest.find("\r\n") + 2);
    if (last) return true;
  }
  return false;
}

}  // namespace

Playback::Playback(const Dialogue& dialogue, Cut cut)
    : dialogue_(dialogue), cut_(dialogue.option("segments") ? Cut{} : cut), random_(cut.seed) {}

std::string Playback::differences() {
  for (const Step& step : dialogue_.steps) {
    events_.clear();
    text_.clear();
    output_.clear();
    to_backend_.clear();
    play(step);
    compare(step);
    if (!difference_.empty()) break;
  }
  return difference_;
}

void Playback::in_pieces(std::string_view bytes, const std::function<void(std::string_view)>& take) {
  while (!bytes.empty()) {
    const auto piece = bytes.substr(0, piece_size(bytes.size()));
    bytes.remove_prefix(piece.size());
    take(piece);
  }
}

std::size_t Playback::piece_size(std::size_t left) {
  switch (cut_.kind) {
    case Cut::Kind::Whole: return left;
    case Cut::Kind::EachByte: return 1;
    case Cut::Kind::Random: break;
  }
  return std::uniform_int_distribution<std::size_t>(1, std::min<std::size_t>(left, 40))(random_);
}

void Playback::note(const TransactionEnded& event) { events_.push_back(fmt::format("ended {}", describe(event.why))); }

void Playback::note(const smtp::SessionClosing& event) {
  events_.push_back(fmt::format("closing {}", smtp::to_string(event.why)));
}

void Playback::compare(const Step& step) {
  compare_output(step);
  compare_backend(step);
  auto events = events_;
  const auto is_detail = [](const std::string& e) {
    return e.starts_with("mail ") || e.starts_with("rcpt ") || e.starts_with("refused ");
  };
  if (std::none_of(step.events.begin(), step.events.end(), is_detail)) {
    events.erase(std::remove_if(events.begin(), events.end(), is_detail), events.end());
  }
  if (events != step.events) {
    differ(step, "events", fmt::format("{}", fmt::join(step.events, "\n")), fmt::format("{}", fmt::join(events, "\n")));
  }
  if (!step.text.empty() && step.text != text_) differ(step, "text", escaped(step.text, 999), escaped(text_, 999));
}

void Playback::compare_output(const Step& step) {
  std::string_view rest = output_;
  for (const auto& wanted : step.replies) {
    if (wanted.starts_with('(') ? take_any_reply(rest, wanted.substr(1, 3)) : take_line(rest, wanted)) continue;
    return differ(step, "output", wanted, rest);
  }
  if (!rest.empty()) differ(step, "output", "nothing more", rest);
}

void Playback::compare_backend(const Step& step) {
  if (step.to_backend == text_without_end) {
    // The end of a text by dot, or by the chunk that says that it is the last.
    if (("\r\n" + to_backend_).find("\r\n.\r\n") == std::string::npos && to_backend_.find(" LAST\r\n") == std::string::npos) return;
  } else if (to_backend_ == step.to_backend) {
    return;
  }
  differ(step, "to the backend", escaped(step.to_backend, 999), escaped(to_backend_, 999));
}

void Playback::differ(const Step& step, std::string_view what, std::string_view wanted, std::string_view got) {
  difference_ += fmt::format("step at line {}: {}\n  wanted: {}\n  got: {}\n", step.line, what, wanted, got);
}

void set_limit(smtp::ServerLimits& limits, std::string_view name, std::uint64_t value) {
  if (name == "message_octets_max") limits.message_octets_max = value;
  else if (name == "recipients_max") limits.recipients_max = value;
  else if (name == "errors_max") limits.errors_max = value;
  else if (name == "commands_max") limits.commands_max = value;
  else if (name == "unknown_commands_max") limits.unknown_commands_max = value;
  else if (name == "transactions_max") limits.transactions_max = value;
  else if (name == "data_octets_per_second_min") limits.data_octets_per_second_min = value;
  else if (name == "command_line_octets_max") limits.command_line_octets_max = value;
  else if (name == "text_line_octets_max") limits.text_line_octets_max = value;
  else if (name == "pipeline_depth") limits.pipeline_depth = value;
  else FAIL("unknown option " << name);
}

}  // namespace postern::transcripts
