#include "daemon/app/user_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/text.h"

namespace postern::app {

namespace {

constexpr std::size_t octets_max = 1024 * 1024 * 1024;  // some thirty million users

}  // namespace

UserFiles::UserFiles(std::shared_ptr<certs::FileSource> files) : files_(std::move(files)) {}

UserFiles::Outcome UserFiles::load(const std::vector<delivery::BackendSettings>& backends) {
  Outcome outcome;
  std::set<const File*> seen;  // several backends may have one file
  for (const auto& backend : backends) {
    if (backend.recipients != delivery::RecipientCheck::Listed) continue;
    File& file = known_[backend.users];
    if (seen.insert(&file).second) look(backend.users, file, outcome);
    if (file.list) {
      outcome.lists.emplace(backend.name, file.list);
    } else {
      for (const std::string& fault : file.faults) {
        outcome.missing.push_back(fmt::format("backend {}: its recipients are not known: {}", backend.name, fault));
      }
    }
  }
  return outcome;
}

void UserFiles::forget_others(const std::vector<delivery::BackendSettings>& backends) {
  std::set<delivery::UserFile> named;
  for (const auto& backend : backends) named.insert(backend.users);
  std::erase_if(known_, [&](const auto& each) { return !named.contains(each.first); });
}

void UserFiles::look(const delivery::UserFile& settings, File& file, Outcome& outcome) {
  const auto faults_before = std::exchange(file.faults, {});
  const auto state = files_->state(settings.path);
  if (!state) {
    file.state.reset();
    file.faults = {state.error().text};
  } else if (file.state == *state) {
    file.faults = faults_before;
  } else {
    read(settings, file, outcome);
  }
  const std::string_view meanwhile = file.list ? "; the list that was read before stays in use" : "";
  for (const std::string& fault : file.faults) outcome.standing.push_back(fault + std::string(meanwhile));
  if (file.faults != faults_before) {
    outcome.faults.insert(outcome.faults.end(), outcome.standing.end() - static_cast<std::ptrdiff_t>(file.faults.size()),
                          outcome.standing.end());
  }
}

void UserFiles::read(const delivery::UserFile& settings, File& file, Outcome& outcome) {
  const auto contents = files_->read(settings.path, octets_max);
  if (!contents) {
    file.state.reset();
    file.faults = {contents.error().text};
    return;
  }
  // Somebody may be writing it: then what was read may be a part. With a list in hand there is time to look again.
  const auto after = files_->state(settings.path);
  if (file.list && (!after || *after != contents->state)) return;
  file.state = contents->state;
  auto parsed = delivery::parse_user_list(contents->bytes, settings);
  file.faults = std::move(parsed.errors);
  outcome.warnings.insert(outcome.warnings.end(), parsed.warnings.begin(), parsed.warnings.end());
  if (!parsed.list) return;
  file.list = std::move(parsed.list);
  outcome.news.push_back(fmt::format("{}: {}, {} KiB of memory", settings.path, counted(file.list->size(), "recipient"),
                                     file.list->memory_octets() / 1024));
}

std::vector<std::string> UserFiles::directories() const {
  std::vector<std::string> made;
  for (const auto& [settings, file] : known_) {
    const auto slash = settings.path.rfind('/');
    made.push_back(slash == std::string::npos ? "." : settings.path.substr(0, std::max<std::size_t>(slash, 1)));
    // What a link points to may be replaced elsewhere.
    if (const auto target = files_->link_target(settings.path); target && target->starts_with('/')) {
      made.push_back(target->substr(0, std::max<std::size_t>(target->rfind('/'), 1)));
    }
  }
  return made;
}

}  // namespace postern::app
