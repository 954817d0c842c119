// What every run of a dialogue has: what is sent is cut into pieces, and what comes of a step is compared with what it says.
// Who plays the parts derives from it.
#pragma once

#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "smtp/server_session.h"
#include "tests/transcripts/dialogue.h"
#include "tests/transcripts/runner.h"

namespace postern::transcripts {

class Playback {
 public:
  /// `dialogue` outlives it.
  Playback(const Dialogue& dialogue, Cut cut);
  virtual ~Playback() = default;
  Playback(const Playback&) = delete;
  Playback& operator=(const Playback&) = delete;

  /// Plays the dialogue up to the first step that differs.
  std::string differences();

 protected:
  virtual void play(const Step& step) = 0;

  void in_pieces(std::string_view bytes, const std::function<void(std::string_view)>& take);
  void note(const smtp::TransactionEnded& event);
  void note(const smtp::SessionClosing& event);

  // What the step has brought about.
  std::vector<std::string> events_;
  std::string text_;
  std::string output_;
  std::string to_backend_;

 private:
  std::size_t piece_size(std::size_t left);
  void compare(const Step& step);
  void compare_output(const Step& step);
  void compare_backend(const Step& step);
  void differ(const Step& step, std::string_view what, std::string_view wanted, std::string_view got);

  const Dialogue& dialogue_;
  Cut cut_;
  std::mt19937 random_;
  std::string difference_;
};

/// Sets the limit of this name; fails the test case when there is none.
void set_limit(smtp::ServerLimits& limits, std::string_view name, std::uint64_t value);

}  // namespace postern::transcripts
