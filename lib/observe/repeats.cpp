#include "observe/repeats.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace postern::observe {

std::vector<Note> Repeats::admit(const Note& note, Instant now) {
  if (note.topic.empty()) return {note};
  std::vector<Note> written;
  const auto found = runs_.find(note.topic);
  if (found != runs_.end()) {
    Run& run = found->second;
    if (run.last.matter == note.matter && now < run.began + window) {
      run.last = note;
      ++run.repeated;
      return {};
    }
    sum_up(run, now, written);
    runs_.erase(found);
  }
  if (runs_.size() >= topics_max) {
    const auto oldest = std::min_element(runs_.begin(), runs_.end(), [](const auto& a, const auto& b) {
      return a.second.began < b.second.began;
    });
    sum_up(oldest->second, now, written);
    runs_.erase(oldest);
  }
  runs_.emplace(note.topic, Run{note, 0, now});
  written.push_back(note);
  return written;
}

std::vector<Note> Repeats::due(Instant now) {
  std::vector<Note> sums;
  for (auto at = runs_.begin(); at != runs_.end();) {
    Run& run = at->second;
    if (now < run.began + window) {
      ++at;
    } else if (run.repeated == 0) {
      at = runs_.erase(at);
    } else {  // it may go on: the next line about it is a sum again
      sum_up(run, now, sums);
      run.repeated = 0;
      run.began = now;
      ++at;
    }
  }
  return sums;
}

std::vector<Note> Repeats::finish(Instant now) {
  std::vector<Note> sums;
  for (const auto& [topic, run] : runs_) sum_up(run, now, sums);
  runs_.clear();
  return sums;
}

void Repeats::sum_up(const Run& run, Instant now, std::vector<Note>& sums) {
  if (run.repeated == 0) return;
  const auto seconds = std::max(Duration(std::chrono::seconds(1)), Duration(std::chrono::round<std::chrono::seconds>(now - run.began)));
  sums.push_back(run.last);
  sums.back().message += run.repeated == 1 ? fmt::format(" (repeated once in {})", readable(seconds))
                                           : fmt::format(" (repeated {} times in {})", run.repeated, readable(seconds));
}

}  // namespace postern::observe
