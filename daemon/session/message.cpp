#include "daemon/session/message.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace postern::session {

namespace {

constexpr std::size_t waiting_octets_max = 512 * 1024;  // unwritten, before the client has to wait for the disk
constexpr std::size_t read_octets = 256 * 1024;         // one read of a spilled message
constexpr std::size_t spill_at_when_strained = 64 * 1024;  // when the memory for messages runs short

}  // namespace

/// Touched by one pool thread at a time: writes follow each other, and reads begin when they are over. Every job holds
/// the file, so it stays open as long as one runs.
struct Message::SpillFile {
  explicit SpillFile(std::string directory_) : directory(std::move(directory_)) {}
  ~SpillFile() {
    if (descriptor >= 0) ::close(descriptor);
  }
  SpillFile(const SpillFile&) = delete;
  SpillFile& operator=(const SpillFile&) = delete;

  Result<void> open() {
    if (descriptor >= 0) return {};
    descriptor = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (descriptor >= 0) return {};
    // Not every file system knows O_TMPFILE.
    std::string path = directory + "/postern-spill-XXXXXX";
    descriptor = ::mkostemp(path.data(), O_CLOEXEC);
    if (descriptor < 0) return fail("{}: no temporary file can be made for a large message: {}", directory, std::strerror(errno));
    ::unlink(path.c_str());
    return {};
  }

  Result<void> write(std::string_view bytes, std::uint64_t at) {
    if (auto opened = open(); !opened) return opened;
    while (!bytes.empty()) {
      const ssize_t count = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(at));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return fail("{}: a large message cannot be spilled: {}", directory, std::strerror(errno));
      bytes.remove_prefix(static_cast<std::size_t>(count));
      at += static_cast<std::uint64_t>(count);
    }
    return {};
  }

  Result<std::string> read(std::uint64_t at, std::size_t count) const {
    std::string bytes(count, '\0');
    std::size_t have = 0;
    while (have < count) {
      const ssize_t got = ::pread(descriptor, bytes.data() + have, count - have, static_cast<off_t>(at + have));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return fail("{}: a spilled message cannot be read back: {}", directory, got == 0 ? "it is shorter than what was written" : std::strerror(errno));
      have += static_cast<std::size_t>(got);
    }
    return bytes;
  }

  std::string directory;
  int descriptor = -1;
};

Message::Message(uv::Loop& loop, uv::WorkPool& spill_pool, MessageBudgets& budgets, Options options)
    : loop_(loop),
      spill_pool_(spill_pool),
      options_(std::move(options)),
      memory_share_(budgets.memory, options_.memory_max),
      spill_share_(budgets.spill, options_.spill_max) {}

std::shared_ptr<Message> Message::make(uv::Loop& loop, uv::WorkPool& spill_pool, MessageBudgets& budgets,
                                       Options options) {
  return std::shared_ptr<Message>(new Message(loop, spill_pool, budgets, std::move(options)));
}

Message::~Message() {
  // Closing a large file that has no name frees its blocks, which takes its time. (A full pool leaves that to us.)
  if (file_) (void)spill_pool_.submit([file = std::move(file_)]() mutable { file.reset(); });
}

bool Message::room_for_one(const MessageBudgets& budgets, std::uint64_t memory_max) {
  return budgets.memory.used() + spill_at_when_strained <= memory_max;
}

/// How much of what comes now stays in memory.
std::size_t Message::memory_room() const {
  if (file_) return 0;
  const std::size_t spill_at =
      memory_share_.strained() ? std::min(options_.spill_at, spill_at_when_strained) : options_.spill_at;
  return spill_at - std::min(memory_.size(), spill_at);
}

void Message::append(std::string_view bytes) {
  octets_ += bytes.size();
  if (failure_) return;
  if (!memory_share_.hold(in_memory() + bytes.size())) {
    return give_up(Error{fmt::format("limits.message_memory ({} octets) is used up", memory_share_.limit())});
  }
  const std::size_t room = memory_room();
  memory_.append(bytes.substr(0, room));
  bytes.remove_prefix(std::min(room, bytes.size()));
  if (bytes.empty()) return;
  if (!spill_share_.hold(in_file_ + writing_ + waiting_.size() + bytes.size())) {
    return give_up(Error{fmt::format("limits.spill_space ({} octets) is used up", spill_share_.limit())});
  }
  if (!file_) file_ = std::make_shared<SpillFile>(options_.spill_dir);
  waiting_.append(bytes);
  if (writing_ == 0) write_waiting();
}

void Message::give_up(Error why) {
  failure_ = std::move(why);
  std::string().swap(waiting_);
  std::string().swap(memory_);
  memory_share_.hold(in_memory());
}

bool Message::congested() const { return !failure_ && waiting_.size() + writing_ > waiting_octets_max; }

void Message::write_waiting() {
  auto bytes = std::make_shared<const std::string>(std::exchange(waiting_, {}));
  auto result = std::make_shared<Result<void>>();
  writing_ = bytes->size();
  const bool queued = spill_pool_.submit(
      [file = file_, bytes, result, at = in_file_] { *result = file->write(*bytes, at); }, loop_,
      [weak = weak_from_this(), result] {
        if (const auto message = weak.lock()) message->written(*result);
      });
  if (!queued) written(fail("too many large messages wait for the disk"));
}

void Message::written(const Result<void>& result) {
  const bool was_congested = congested();
  in_file_ += std::exchange(writing_, 0);
  if (!result) give_up(result.error());
  memory_share_.hold(in_memory());
  if (!failure_ && !waiting_.empty()) write_waiting();
  if (was_congested && !congested() && on_relief_) on_relief_();
  if (writing_ == 0 && on_finished_) {
    std::exchange(on_finished_, nullptr)(failure_ ? Result<void>(fail_with(*failure_)) : Result<void>());
  }
}

void Message::finish(std::function<void(Result<void>)> done) {
  if (failure_) return done(fail_with(*failure_));
  if (writing_ == 0) return done({});
  on_finished_ = std::move(done);
}

class Message::Reader : public BodySource {
 public:
  explicit Reader(std::shared_ptr<const Message> message) : message_(std::move(message)) {}

  void next(std::function<void(Result<std::string_view>)> piece) override {
    if (!memory_done_) {
      memory_done_ = true;
      if (!message_->memory_.empty()) return piece(std::string_view(message_->memory_));
    }
    if (position_ == message_->in_file_) return piece(std::string_view());
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(read_octets, message_->in_file_ - position_));
    auto result = std::make_shared<Result<std::string>>();
    const bool queued = message_->spill_pool_.submit(
        [file = message_->file_, at = position_, count, result] { *result = file->read(at, count); }, message_->loop_,
        [alive = std::weak_ptr<const int>(alive_), this, result, piece] {
          if (alive.expired()) return;
          if (!*result) return piece(fail_with(result->error()));
          position_ += (*result)->size();
          piece(std::string_view(**result));
        });
    if (!queued) piece(fail("too many large messages wait for the disk"));
  }

  std::unique_ptr<BodySource> again() const override { return std::make_unique<Reader>(message_); }

 private:
  std::shared_ptr<const Message> message_;
  bool memory_done_ = false;
  std::uint64_t position_ = 0;
  std::shared_ptr<const int> alive_ = std::make_shared<const int>(0);  // tells late reads that we are gone
};

std::unique_ptr<BodySource> Message::reader() { return std::make_unique<Reader>(shared_from_this()); }

}  // namespace postern::session
