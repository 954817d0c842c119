#include "relay/offers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/text.h"

namespace postern::relay {

namespace {

/// An extension whose meaning is known: it passes, and brings these parameters.
struct Known {
  std::string_view keyword;
  std::string_view mail_parameters;
  std::string_view recipient_parameters;
};

constexpr std::array known_extensions{
    Known{"PIPELINING", "", ""},
    Known{"SIZE", "SIZE", ""},
    Known{"8BITMIME", "BODY", ""},
    Known{"ENHANCEDSTATUSCODES", "", ""},
    Known{"SMTPUTF8", "SMTPUTF8", ""},
    Known{"DSN", "RET ENVID", "NOTIFY ORCPT"},
    Known{"CHUNKING", "", ""},
    Known{"BINARYMIME", "BODY", ""},
    Known{"LIMITS", "", ""},
    Known{"HELP", "", ""},
};

/// Extensions that pass only by name, whose parameters are not called like them.
constexpr std::array parameters_of_others{
    Known{"DELIVERBY", "BY", ""},
    Known{"FUTURERELEASE", "HOLDFOR HOLDUNTIL", ""},
    Known{"RRVS", "", "RRVS"},
    Known{"CONPERM", "CONPERM", ""},
};

std::string_view keyword_of(std::string_view line) { return line.substr(0, line.find_first_of(" \t=")); }

std::string_view arguments_of(std::string_view line) { return trimmed(line.substr(keyword_of(line).size())); }

template <class Table>
const Known* find_known(const Table& table, std::string_view keyword) {
  const auto* found = std::find_if(table.begin(), table.end(), [keyword](const Known& known) {
    return equals_ignoring_case(known.keyword, keyword);
  });
  return found == table.end() ? nullptr : found;
}

bool lists(const std::vector<std::string>& list, std::string_view word) {
  return std::any_of(list.begin(), list.end(), [word](const auto& one) { return equals_ignoring_case(one, word); });
}

void add_words(std::string_view words, std::vector<std::string>& to) {
  for (const auto word : split(words, ' ')) {
    if (!word.empty() && !lists(to, word)) to.emplace_back(word);
  }
}

/// The words of `mine` that `theirs` has, too.
std::string common_words(std::string_view mine, std::string_view theirs) {
  std::string made;
  const auto others = split(theirs, ' ');
  for (const auto word : split(mine, ' ')) {
    const bool shared = std::any_of(others.begin(), others.end(), [word](auto o) { return equals_ignoring_case(o, word); });
    if (!word.empty() && shared) made += fmt::format(" {}", word);
  }
  return made;
}

/// RFC 1870: 0, like no number, is no limit.
std::string smaller_size(std::string_view mine, std::string_view theirs) {
  const auto a = parse_decimal(mine).value_or(0);
  const auto b = parse_decimal(theirs).value_or(0);
  const auto smaller = a == 0 || (b != 0 && b < a) ? b : a;
  return smaller == 0 ? std::string() : fmt::format(" {}", smaller);
}

}  // namespace

Offers offers_of(const smtp::Reply& hello) {
  Offers offers;
  const auto lines = split(hello.text, '\n');
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (!keyword_of(lines[i]).empty()) offers.emplace_back(lines[i]);
  }
  return offers;
}

std::string_view find_offer(const Offers& offers, std::string_view keyword) {
  const auto found = std::find_if(offers.begin(), offers.end(), [keyword](const std::string& line) {
    return equals_ignoring_case(keyword_of(line), keyword);
  });
  return found == offers.end() ? std::string_view() : std::string_view(*found);
}

Offers common_offers(const std::vector<Offers>& all) {
  if (all.empty()) return {};
  Offers common = all.front();
  for (std::size_t i = 1; i < all.size(); ++i) {
    Offers narrowed;
    for (const std::string& line : common) {
      const auto theirs = find_offer(all[i], keyword_of(line));
      if (theirs.empty()) continue;
      const bool is_size = equals_ignoring_case(keyword_of(line), "SIZE");
      const auto arguments = is_size ? smaller_size(arguments_of(line), arguments_of(theirs))
                                     : common_words(arguments_of(line), arguments_of(theirs));
      narrowed.push_back(std::string(keyword_of(line)) + arguments);
    }
    common = std::move(narrowed);
  }
  return common;
}

Offers modest_offers() { return {"PIPELINING", "SIZE", "8BITMIME"}; }

Shown shown_to_client(std::string_view hostname, const Offers& offers, const OfferPolicy& policy) {
  Shown shown;
  std::string text(hostname);
  const auto show = [&text](std::string_view line) { text += fmt::format("\n{}", line); };
  if (policy.starttls == OfferPolicy::Starttls::Offered) show("STARTTLS");
  for (const std::string& line : policy.own) show(line);
  // SIZE and BODY cost nothing to forward, and a client that said HELO may not know better.
  shown.passing.mail_parameters = {"SIZE", "BODY"};
  for (const std::string& line : offers) {
    const auto keyword = keyword_of(line);
    if (equals_ignoring_case(keyword, "AUTH")) {
      if (policy.authentication == OfferPolicy::Authentication::Hidden) continue;
      shown.passing.authentication = true;
      add_words("AUTH", shown.passing.mail_parameters);  // RFC 4954 section 5
      show(line);
      continue;
    }
    if (must_not_pass(keyword)) continue;
    const Known* known = find_known(known_extensions, keyword);
    if (known == nullptr && !lists(policy.pass_extensions, keyword)) continue;
    if (known == nullptr) known = find_known(parameters_of_others, keyword);
    add_words(known != nullptr ? known->mail_parameters : keyword, shown.passing.mail_parameters);
    add_words(known != nullptr ? known->recipient_parameters : keyword, shown.passing.recipient_parameters);
    if (equals_ignoring_case(keyword, "CHUNKING")) shown.passing.chunking = true;
    if (equals_ignoring_case(keyword, "SIZE")) {
      show("SIZE" + smaller_size(arguments_of(line), std::to_string(policy.message_octets_max)));
    } else {
      show(line);
    }
  }
  shown.reply = smtp::Reply{250, {}, std::move(text)};
  return shown;
}

bool must_not_pass(std::string_view keyword) {
  static constexpr std::array<std::string_view, 12> forbidden{"STARTTLS", "XCLIENT", "XFORWARD", "AUTH", "ETRN", "TURN", "ATRN",
                                                              "BURL", "VRFY", "EXPN", "PRDR", "REQUIRETLS"};
  return std::any_of(forbidden.begin(), forbidden.end(),
                     [keyword](auto word) { return equals_ignoring_case(word, keyword); });
}

}  // namespace postern::relay
