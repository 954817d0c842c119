// What a wrong command line is told. For the two main programs, the only files that include CLI11.
#pragma once

#include <CLI/CLI.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.h"

namespace postern {

/// The command that the words got as far as: `certs` for `certs --nmae`.
inline const CLI::App* reached(const CLI::App* app) {
  for (auto chosen = app->get_subcommands(); !chosen.empty(); chosen = app->get_subcommands()) app = chosen.front();
  return app;
}

/// The first word that means nothing, and the one that was probably meant.
inline std::string stranger_text(const CLI::App* command, const std::vector<std::string>& words,
                                 const std::vector<std::string>& strangers) {
  const auto found = std::find_first_of(words.begin(), words.end(), strangers.begin(), strangers.end());
  const std::string word = found == words.end() ? strangers.front() : *found;
  const bool is_option = word.starts_with('-');
  std::vector<std::string> known;
  if (is_option) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
  } else {
    for (const CLI::App* inner : command->get_subcommands({})) known.push_back(inner->get_name());
  }
  std::string text = "\"" + escaped(word, 80) + "\" is no " + (is_option ? "option" : known.empty() ? "argument" : "command") + " here";
  const std::vector<std::string_view> candidates(known.begin(), known.end());
  if (const auto nearest = nearest_word(word, candidates)) text += "; did you mean " + std::string(*nearest) + "?";
  return text;
}

/// For CLI::App::failure_message().
inline std::function<std::string(const CLI::App*, const CLI::Error&)> usage_error(int argc, char** argv) {
  return [words = std::vector<std::string>(argv + 1, argv + argc)](const CLI::App* app, const CLI::Error& error) {
    const CLI::App* command = reached(app);
    const auto strangers = app->remaining(true);
    const bool unknown = !strangers.empty() && (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                                                dynamic_cast<const CLI::RequiredError*>(&error) != nullptr);
    std::string line;
    for (const CLI::App* at = command; at != nullptr; at = at->get_parent()) line = at->get_name() + ' ' + line;
    return app->get_name() + ": " + (unknown ? stranger_text(command, words, strangers) : std::string(error.what())) + "\n`" + line +
           "--help` says what there is.\n";
  };
}

}  // namespace postern
