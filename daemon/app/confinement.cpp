#include "daemon/app/confinement.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "config/from_toml.h"
#include "daemon/app/guarded_files.h"

namespace postern::app {

namespace fs = std::filesystem;

namespace {

std::string folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

/// A folder of a hundred thousand certificates is one place, not as many.
std::vector<std::string> without_those_within(std::vector<std::string> folders) {
  std::sort(folders.begin(), folders.end());
  std::vector<std::string> kept;
  for (std::string& folder : folders) {
    const bool within = !kept.empty() && (folder == kept.back() || folder.starts_with(kept.back() + "/"));
    if (!within) kept.push_back(std::move(folder));
  }
  return kept;
}

}  // namespace

config::Parsed read_configuration(const std::string& path, std::vector<std::string>& folders) {
  folders.clear();
  auto environment = config::process_environment();
  environment.read_file = [&folders, read = std::move(environment.read_file)](const std::string& file) {
    folders.push_back(folder_of(file));
    return read(file);
  };
  environment.glob = [&folders, match = std::move(environment.glob)](const std::string& pattern) {
    folders.push_back(folder_of(pattern.substr(0, pattern.find_first_of("*?["))));
    return match(pattern);
  };
  return config::from_toml(path, environment);
}

Reach reach_of(const Confinement& confinement) {
  const config::Config& config = confinement.config;
  Reach reach;
  reach.read = confinement.read;
  if (confinement.certificates == Confinement::Certificates::ReadHere) {
    for (std::string& folder : folders_of(needed_files(config))) reach.read.push_back(std::move(folder));
  }
  for (const auto& listener : config.run.listeners) {
    if (!listener.webroot.empty()) reach.read.push_back(listener.webroot);
  }
  for (std::string& place : files_of_the_system()) reach.read.push_back(std::move(place));
  reach.read = without_those_within(std::move(reach.read));
  reach.write = {config.start.state_dir};
  if (!config.run.spill_dir.empty()) reach.write.push_back(config.run.spill_dir);
  if (!config.run.log.file.empty()) reach.append = {folder_of(config.run.log.file)};
  for (const std::string& path : confinement.clear) reach.clear.push_back(folder_of(path));
  return reach;
}

FileFence confine(const Reach& reach, session::Journal& journal) {
  auto fence = FileFence::raise(reach);
  if (!fence) journal.note(observe::Level::Warning, "the sandbox keeps no files away: " + fence.error().text);
  const auto filtered = filter_calls(Calls::Daemon);
  if (!filtered) journal.note(observe::Level::Warning, "the sandbox lets all system calls pass: " + filtered.error().text);
  return fence.value_or(FileFence());
}

std::vector<std::string> beyond(const FileFence& fence, const Reach& reach) {
  std::vector<std::string> sentences;
  const auto told = [&sentences](const std::string& place, std::string_view what) {
    sentences.push_back(fmt::format("{}: was not named when posternd started, and the sandbox keeps it from being {}: "
                                    "restart posternd, or send it SIGUSR2",
                                    place, what));
  };
  for (const std::string& place : reach.read) {
    if (!fence.lets_read(place)) told(place, "read");
  }
  for (const std::string& place : reach.write) {
    if (!fence.lets_write(place)) told(place, "written");
  }
  return sentences;
}

}  // namespace postern::app
