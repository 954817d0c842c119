#include "tests/transcripts/dialogue.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace postern::transcripts {

namespace {

std::optional<int> hex_digit(char c) {
  const auto at = std::string_view("0123456789abcdef").find(to_lower_ascii(c));
  return at == std::string_view::npos ? std::nullopt : std::optional(static_cast<int>(at));
}

Result<std::string> unescaped(std::string_view text) {
  std::string made;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      made += text[at];
      continue;
    }
    const char kind = ++at < text.size() ? text[at] : ' ';
    if (kind == 'x' && at + 2 < text.size() && hex_digit(text[at + 1]) && hex_digit(text[at + 2])) {
      made += static_cast<char>(*hex_digit(text[at + 1]) * 16 + *hex_digit(text[at + 2]));
      at += 2;
    } else if (const auto which = std::string_view("rnt\\").find(kind); which != std::string_view::npos) {
      made += "\r\n\t\\"[which];
    } else {
      return fail("bad escape in \"{}\"", text);
    }
  }
  return made;
}

/// Splits "word rest of line".
std::pair<std::string_view, std::string_view> split_word(std::string_view text) {
  const auto end = std::min(text.find(' '), text.size());
  return {text.substr(0, end), trimmed(text.substr(end))};
}

class Reader {
 public:
  Reader() { dialogue_.steps.emplace_back(); }

  Result<void> add(std::string_view line, std::size_t number) {
    number_ = number;
    if (line.empty() || line.starts_with('#')) return {};
    const auto mark = line.substr(0, 2);
    const auto content = line.size() > 3 ? line.substr(3) : std::string_view();
    const std::string_view end = mark.ends_with(':') ? "\r\n" : "";
    if (mark == "C:" || mark == "C|") return add_input(Step::Kind::Send, content, end);
    if (mark == "B:" || mark == "B|") return add_input(Step::Kind::BackendSends, content, end);
    if (mark == "R:" || mark == "R|") {
      return add_text(content, [this, end](std::string text) { step().to_backend += std::move(text) + std::string(end); });
    }
    if (mark == "S:") return add_text(content, [this](std::string text) { step().replies.push_back(std::move(text)); });
    if (mark == "M:") return add_text(content, [this](std::string text) { step().text += std::move(text) + "\r\n"; });
    if (mark == "E:") return step().events.emplace_back(content), Result<void>();
    if (mark == "A:") return add_answer(content);
    if (mark == "X:") return add_happening(content);
    const auto [word, rest] = split_word(line);
    if (word != "option" || dialogue_.steps.size() > 1) return fail("cannot understand \"{}\"", line);
    const auto [name, value] = split_word(rest);
    dialogue_.options.emplace_back(name, value);
    return {};
  }

  Dialogue finish() { return std::move(dialogue_); }

 private:
  Step& step() { return dialogue_.steps.back(); }

  Step& new_step(Step::Kind kind) {
    Step& made = dialogue_.steps.emplace_back();
    made.kind = kind;
    made.line = number_;
    return made;
  }

  template <class Take>
  Result<void> add_text(std::string_view content, Take take) {
    auto text = unescaped(content);
    if (!text) return fail_with(text.error());
    take(std::move(*text));
    return {};
  }

  Result<void> add_input(Step::Kind kind, std::string_view content, std::string_view end) {
    const bool goes_on = step().replies.empty() && step().events.empty() && step().to_backend.empty();
    if (step().kind != kind || !goes_on) new_step(kind);
    return add_text(content, [this, end](std::string text) { step().bytes += std::move(text) + std::string(end); });
  }

  Result<void> add_answer(std::string_view content) {
    const auto [what, rest] = split_word(content);
    if (what == "message") {
      dialogue_.outcomes.emplace_back(rest);
    } else if (what == "data") {
      dialogue_.answers.emplace("data", rest);
    } else if (what == "mail" || what == "rcpt") {
      const auto end = rest.find("> ");
      if (end == std::string_view::npos) return fail("\"{}\" needs a path and a reply", content);
      dialogue_.answers.emplace(std::string(what) + ' ' + std::string(rest.substr(0, end + 1)), rest.substr(end + 2));
    } else {
      return fail("the application is not asked \"{}\"", what);
    }
    return {};
  }

  Result<void> add_happening(std::string_view content) {
    const auto [what, rest] = split_word(content);
    if (what == "eof") {
      new_step(Step::Kind::EndOfInput);
    } else if (what == "shutdown") {
      new_step(Step::Kind::ShutDown);
    } else if (what == "connected") {
      new_step(Step::Kind::Connected);
    } else if (what == "lost") {
      new_step(Step::Kind::Lost);
    } else if (content == "no target") {
      new_step(Step::Kind::NoTarget);
    } else if (what == "wait" || what == "tls") {
      new_step(what == "wait" ? Step::Kind::Wait : Step::Kind::TlsStarted).bytes = rest;
    } else {
      return fail("\"{}\" cannot happen", what);
    }
    return {};
  }

  Dialogue dialogue_;
  std::size_t number_ = 0;
};

}  // namespace

std::optional<std::string_view> Dialogue::option(std::string_view name) const {
  const auto found = std::find_if(options.begin(), options.end(), [name](const auto& option) { return option.first == name; });
  return found == options.end() ? std::nullopt : std::optional<std::string_view>(found->second);
}

Result<Dialogue> parse_dialogue(std::string_view text) {
  Reader reader;
  std::size_t number = 0;
  for (const auto line : split(text, '\n')) {
    if (const auto added = reader.add(line, ++number); !added) return fail("line {}: {}", number, added.error().text);
  }
  return reader.finish();
}

}  // namespace postern::transcripts
