#include "delivery/outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "smtp/replies.h"

namespace postern::delivery {

namespace {

using Status = RecipientOutcome::Status;

/// The reply that stands for all of a status: of the codes the commonest, of its texts the commonest, and among equals
/// that of the earlier recipient.
const smtp::Reply& commonest(const std::vector<RecipientOutcome>& outcomes, Status status) {
  using Code = std::tuple<int, std::string_view>;
  std::map<Code, std::size_t> codes;
  std::map<std::tuple<Code, std::string_view>, std::size_t> texts;
  const auto code_of = [](const smtp::Reply& reply) { return Code(reply.code, reply.enhanced); };
  for (const auto& outcome : outcomes) {
    if (outcome.status != status) continue;
    ++codes[code_of(outcome.reply)];
    ++texts[{code_of(outcome.reply), outcome.reply.text}];
  }
  const auto weight = [&](const RecipientOutcome& outcome) {
    if (outcome.status != status) return std::tuple<std::size_t, std::size_t>();
    const auto code = code_of(outcome.reply);
    return std::tuple(codes[code], texts[{code, outcome.reply.text}]);
  };
  return std::max_element(outcomes.begin(), outcomes.end(),
                          [&](const auto& a, const auto& b) { return weight(a) < weight(b); })
      ->reply;
}

// Our id must not be what render() cuts off a long line.
constexpr std::size_t last_line_octets_max = 400;

/// `reply` with `code`, an enhanced code of the same class, and our id behind the text.
smtp::Reply as_final(const smtp::Reply& reply, int code, const std::string& transaction) {
  const char reply_class = static_cast<char>('0' + code / 100);
  const bool fits = reply.enhanced.size() > 1 && reply.enhanced[0] == reply_class && reply.enhanced[1] == '.';
  const std::size_t last_line = reply.text.rfind('\n') + 1;
  const std::string text = reply.text.substr(0, last_line + last_line_octets_max);
  return {code, fits ? reply.enhanced : fmt::format("{}.0.0", reply_class),
          fmt::format("{}{}({})", text, text.empty() ? "" : " ", transaction)};
}

}  // namespace

Status status_of(const smtp::Reply& reply) {
  if (reply.positive()) return Status::Taken;
  return reply.permanent() ? Status::Refused : Status::Deferred;
}

std::string_view to_string(Status status) {
  switch (status) {
    case Status::Taken:
      return "taken";
    case Status::Refused:
      return "refused";
    case Status::Deferred:
      return "deferred";
  }
  return "?";
}

bool mixed(const std::vector<RecipientOutcome>& outcomes) {
  return std::any_of(outcomes.begin(), outcomes.end(),
                     [&](const auto& outcome) { return outcome.status != outcomes.front().status; });
}

smtp::Reply join(const std::vector<RecipientOutcome>& outcomes, const std::string& transaction) {
  if (outcomes.empty() || mixed(outcomes)) return as_final(smtp::replies::some_recipients_failed, 451, transaction);
  const Status status = outcomes.front().status;
  const smtp::Reply& reply = commonest(outcomes, status);
  switch (status) {
    case Status::Taken: return as_final(reply, 250, transaction);
    case Status::Refused: return as_final(reply, reply.code, transaction);
    case Status::Deferred: break;
  }
  return as_final(reply, 451, transaction);
}

EachAndOverall answer_each(const std::vector<RecipientOutcome>& outcomes, const std::string& transaction) {
  EachAndOverall answer;
  for (const auto& outcome : outcomes) answer.each.push_back(join({outcome}, transaction));
  const auto any = [&](Status status) {
    return std::any_of(outcomes.begin(), outcomes.end(), [&](const auto& outcome) { return outcome.status == status; });
  };
  if (!mixed(outcomes)) {
    answer.overall = join(outcomes, transaction);
  } else if (any(Status::Taken)) {
    answer.overall = as_final(smtp::replies::taken_for_some, 250, transaction);
  } else {
    answer.overall = as_final(commonest(outcomes, Status::Deferred), 451, transaction);
  }
  return answer;
}

}  // namespace postern::delivery
