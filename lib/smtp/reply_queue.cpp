#include "smtp/reply_queue.h"

#include <algorithm>
#include <utility>

namespace postern::smtp {

std::string& ReplyQueue::back() {
  if (places_.empty()) return ready_;
  places_.push_back(Place{0, Question::Sender, false, {}});
  return places_.back().text;
}

std::uint64_t ReplyQueue::ask(Question question) {
  places_.push_back(Place{++last_number_, question, true, {}});
  return last_number_;
}

std::optional<ReplyQueue::Question> ReplyQueue::answer(std::uint64_t number, std::string text) {
  const auto place = std::find_if(places_.begin(), places_.end(),
                                  [number](const Place& p) { return p.open && p.number == number; });
  if (place == places_.end()) return std::nullopt;
  const Question asked = place->question;
  place->open = false;
  place->text = std::move(text);
  const auto first_open = std::find_if(places_.begin(), places_.end(), [](const Place& p) { return p.open; });
  for (auto done = places_.begin(); done != first_open; ++done) ready_ += done->text;
  places_.erase(places_.begin(), first_open);
  return asked;
}

std::optional<ReplyQueue::Question> ReplyQueue::question(std::uint64_t number) const {
  const auto place = std::find_if(places_.begin(), places_.end(),
                                  [number](const Place& p) { return p.open && p.number == number; });
  return place == places_.end() ? std::nullopt : std::optional(place->question);
}

std::size_t ReplyQueue::open() const {
  return static_cast<std::size_t>(std::count_if(places_.begin(), places_.end(), [](const Place& p) { return p.open; }));
}

std::size_t ReplyQueue::open(Question question) const {
  return static_cast<std::size_t>(std::count_if(places_.begin(), places_.end(), [question](const Place& p) {
    return p.open && p.question == question;
  }));
}

std::string ReplyQueue::take() {
  if (places_.empty()) std::vector<Place>().swap(places_);  // an idle session holds nothing
  return std::exchange(ready_, {});
}

void ReplyQueue::clear() {
  ready_.clear();
  places_.clear();
}

}  // namespace postern::smtp
