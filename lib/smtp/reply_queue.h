// Replies on their way out, in the order of the commands, although the answers to some commands come late.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace postern::smtp {

class ReplyQueue {
 public:
  /// What an open place waits to be told.
  enum class Question : std::uint8_t {
    Sender,
    Recipient,
    Body,
    Outcome,
    // What is asked of a backend (Authority::Backend) besides:
    Hello,
    Command,  ///< whose reply changes nothing here
    Login,    ///< AUTH, or a line of its exchange
    Chunk,    ///< a BDAT that is not the last
    Identity, ///< XCLIENT, XFORWARD
  };

  /// Where a reply is to be rendered that stands behind all that are there; good until the next call.
  std::string& back();

  /// Takes the next place for an answer that is to come, under a number that was not used before.
  std::uint64_t ask(Question question);

  /// Fills the place that was taken under `number`; returns what was asked, nothing when no such place is open.
  std::optional<Question> answer(std::uint64_t number, std::string text);

  /// What is asked under `number`, if it is open.
  std::optional<Question> question(std::uint64_t number) const;

  /// Open places, of every kind or of one.
  std::size_t open() const;
  std::size_t open(Question question) const;

  /// Places that are held back: the open ones, and the answered ones behind them.
  std::size_t held() const { return places_.size(); }

  /// Everything in front of the first open place.
  std::string take();

  /// What take() would give.
  std::size_t ready_octets() const { return ready_.size(); }

  /// Forgets everything; numbers are still not used again.
  void clear();

 private:
  struct Place {
    std::uint64_t number;  // 0: nothing is asked
    Question question;
    bool open;
    std::string text;
  };

  std::string ready_;
  std::vector<Place> places_;  // the first is open, or there is none
  std::uint64_t last_number_ = 0;
};

}  // namespace postern::smtp
