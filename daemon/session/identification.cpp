#include "daemon/session/identification.h"

#include <algorithm>
#include <utility>

namespace postern::session {

namespace {

/// Kept alive by the piece that it waits for.
class Reading : public std::enable_shared_from_this<Reading> {
 public:
  Reading(std::unique_ptr<BodySource> source, std::size_t skip,
          std::function<void(Result<delivery::MessageDigester>)> done)
      : source_(std::move(source)), skip_(skip), done_(std::move(done)) {}

  // A message in memory is one piece, so that this does not call itself any deeper than twice.
  void go_on() {
    source_->next([self = shared_from_this()](Result<std::string_view> piece) { self->take(std::move(piece)); });
  }

 private:
  void take(Result<std::string_view> piece) {
    if (!piece) return done_(fail_with(piece.error()));
    if (piece->empty()) return done_(std::move(digester_));
    const std::size_t skipped = std::min(skip_, piece->size());
    skip_ -= skipped;
    digester_.receive(piece->substr(skipped));
    go_on();
  }

  std::unique_ptr<BodySource> source_;
  std::size_t skip_;
  std::function<void(Result<delivery::MessageDigester>)> done_;
  delivery::MessageDigester digester_;
};

}  // namespace

void digest(std::unique_ptr<BodySource> source, std::size_t skip,
            std::function<void(Result<delivery::MessageDigester>)> done) {
  std::make_shared<Reading>(std::move(source), skip, std::move(done))->go_on();
}

}  // namespace postern::session
