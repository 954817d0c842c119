#include "daemon/storage/ledger.h"

#include <pthread.h>

#include <chrono>
#include <utility>

#include "daemon/storage/secret_file.h"

namespace postern::storage {

namespace {

// What has expired leaves the file, and a file that could not be written is tried again, without anybody asking.
constexpr auto look_again_after = std::chrono::minutes(1);

constexpr const char* queue_full = "too many changes wait for the disk";

WallTime now() { return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()); }

WallTime later(WallTime from, Duration by) { return from + std::chrono::ceil<std::chrono::seconds>(by); }

}  // namespace

Result<std::unique_ptr<StoredLedger>> StoredLedger::open(Options options) {
  const auto secret = secret_file(options.state_dir + "/ledger.key",
                                  "recipients who had a message of the last days already may get it again");
  if (!secret) return fail_with(secret.error());
  std::unique_ptr<StoredLedger> made(new StoredLedger(std::move(options), {*secret}));
  made->load();
  made->thread_ = std::thread([ledger = made.get()] { ledger->run(); });
  return made;
}

StoredLedger::StoredLedger(Options options, delivery::LedgerSecret secret)
    : options_(std::move(options)),
      path_(options_.state_dir + "/ledger.sqlite"),
      secret_(secret),
      settings_(options_.settings) {}

StoredLedger::~StoredLedger() { stop(); }

void StoredLedger::load() {
  auto opened = LedgerFile::open(path_, now());
  if (!opened) {
    incomplete_ = true;
    options_.note(observe::Level::Error,
                  fmt::format("the ledger cannot be read: {}; entries are kept in memory, and lost with the process",
                              opened.error().text));
    return;
  }
  if (!opened->set_aside.empty()) {
    options_.note(observe::Level::Error,
                  fmt::format("the ledger was damaged: {}; who had a message already may get it again", opened->set_aside));
  }
  for (auto& item : opened->items) index_.put(std::move(item));
  file_ = std::move(opened->file);
  forget_expired();
}

void StoredLedger::configure(const delivery::LedgerSettings& settings) {
  const std::lock_guard lock(mutex_);
  settings_ = settings;
}

void StoredLedger::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

// --- asking ---

void StoredLedger::note_size() const { size_.store(index_.size() + held_.size(), std::memory_order_relaxed); }

void StoredLedger::forget_expired() const {
  if (index_.expire(now()) > 0) expired_ = true;
  note_size();
}

delivery::Lane StoredLedger::lane(const delivery::EnvelopeKey& envelope) const {
  const std::lock_guard lock(mutex_);
  forget_expired();
  return index_.lane(envelope);
}

bool StoredLedger::knows(const delivery::EnvelopeKey& envelope) const {
  const std::lock_guard lock(mutex_);
  forget_expired();
  return index_.knows(envelope) || held_.contains(envelope);
}

std::optional<delivery::LedgerEntry> StoredLedger::find(const delivery::EnvelopeKey& envelope,
                                                        const delivery::MessageKey& message) const {
  const std::lock_guard lock(mutex_);
  forget_expired();
  const auto* entry = index_.find(envelope, message);
  return entry == nullptr ? std::nullopt : std::optional(*entry);
}

void StoredLedger::count(delivery::LedgerUse use) {
  const std::lock_guard lock(mutex_);
  switch (use) {
    case delivery::LedgerUse::Deduplicated: ++counts_.deduplicated; break;
    case delivery::LedgerUse::Refused: ++counts_.refused; break;
    case delivery::LedgerUse::Separated: ++counts_.separated; break;
  }
}

delivery::LedgerCounts StoredLedger::counts() const {
  const std::lock_guard lock(mutex_);
  forget_expired();
  auto counts = counts_;
  counts.entries = index_.size();
  return counts;
}

// --- changing ---

void StoredLedger::record(std::vector<delivery::LedgerEntry> entries, Done done) {
  {
    const std::lock_guard lock(mutex_);
    forget_expired();
    const bool fits = !stopping_ && waiting_.count + entries.size() <= options_.waiting_max;
    counts_.recorded += entries.size();
    for (auto& entry : entries) {
      delivery::LedgerIndex::Item item{std::move(entry), later(now(), settings_.ttl)};
      if (fits) waiting_.changes.put.push_back(item);
      index_.put(std::move(item));
    }
    counts_.dropped += index_.shrink(settings_.entries_max);
    note_size();
    if (fits) {
      waiting_.count += entries.size();
      if (done) waiting_.done.push_back(std::exchange(done, nullptr));
    } else {
      incomplete_ = true;
      ++counts_.failures;
      counts_.last_failure = queue_full;
    }
  }
  changed_.notify_all();
  if (done) done(fail("{}", queue_full));
}

void StoredLedger::hold(const std::vector<delivery::LedgerEntry>& entries) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries) held_.emplace(entry.envelope, entry.message);
    note_size();
    if (!heir_) return;
    waiting_.held.insert(waiting_.held.end(), entries.begin(), entries.end());
    waiting_.count += entries.size();
  }
  changed_.notify_all();
}

void StoredLedger::release(const std::vector<delivery::LedgerEntry>& entries) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries) {
      const auto [begin, end] = held_.equal_range(entry.envelope);
      for (auto each = begin; each != end; ++each) {
        if (each->second != entry.message) continue;
        held_.erase(each);
        break;
      }
    }
    note_size();
    if (!heir_) return;
    waiting_.released.insert(waiting_.released.end(), entries.begin(), entries.end());
    waiting_.count += entries.size();
  }
  changed_.notify_all();
}

bool StoredLedger::held(const delivery::EnvelopeKey& envelope, const delivery::MessageKey& message) const {
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = held_.equal_range(envelope);
  for (auto each = begin; each != end; ++each) {
    if (each->second == message) return true;
  }
  return false;
}

void StoredLedger::consume(const std::vector<delivery::LedgerEntry>& entries) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries) {
      if (!index_.erase(entry.envelope, entry.message) && !heir_) continue;
      if (waiting_.count < options_.waiting_max) {
        waiting_.changes.erased.push_back(entry);
        ++waiting_.count;
      } else {
        incomplete_ = true;
      }
    }
    note_size();
  }
  changed_.notify_all();
}

// --- another process's ---

void StoredLedger::bequeath(std::shared_ptr<LedgerHeir> heir, std::function<void()> closed) {
  {
    const std::lock_guard lock(mutex_);
    next_heir_ = std::move(heir);
    on_closed_ = std::move(closed);
  }
  changed_.notify_all();
}

void StoredLedger::take_back() {
  {
    const std::lock_guard lock(mutex_);
    next_heir_ = nullptr;
    taken_back_ = true;
  }
  changed_.notify_all();
}

/// On the thread, with the mutex held. Whoever holds or records something from here on sees the heir.
void StoredLedger::pass_on() {
  file_.reset();
  heir_ = std::exchange(next_heir_, nullptr);
  for (const auto& [envelope, message] : held_) waiting_.held.push_back({envelope, message, std::nullopt});
  if (std::exchange(incomplete_, false)) {
    index_.for_each([this](const delivery::LedgerIndex::Item& item) { waiting_.changes.put.push_back(item); });
  }
  waiting_.count += waiting_.held.size() + waiting_.changes.put.size();
}

// --- the thread ---

bool StoredLedger::has_work() const { return stopping_ || waiting_.count > 0 || next_heir_ || taken_back_; }

void StoredLedger::run() {
  pthread_setname_np(pthread_self(), "ledger");
  std::unique_lock lock(mutex_);
  for (bool last = false; !last;) {
    changed_.wait_for(lock, look_again_after, [this] { return has_work(); });
    last = stopping_;
    if (std::exchange(taken_back_, false)) {
      heir_ = nullptr;
      incomplete_ = true;
    }
    forget_expired();
    if (waiting_.count > 0 || ((expired_ || incomplete_) && !heir_)) {
      const Waiting waiting = std::exchange(waiting_, {});
      expired_ = false;
      lock.unlock();
      const auto result = write(waiting);
      lock.lock();
      wrote(result);
      lock.unlock();
      for (const Done& done : waiting.done) done(result);
      lock.lock();
    }
    // What came meanwhile is the heir's already.
    if (next_heir_ && !taken_back_) {
      pass_on();
      const auto closed = std::exchange(on_closed_, nullptr);
      lock.unlock();
      closed();
      lock.lock();
    }
  }
}

Result<void> StoredLedger::write(const Waiting& waiting) {
  if (heir_) {
    LedgerHeir::News news{waiting.held, {}, waiting.changes.erased, waiting.released};
    for (const auto& item : waiting.changes.put) news.recorded.push_back(item.entry);
    return heir_->tell(news);
  }
  const LedgerFile::Changes& changes = waiting.changes;
  if (!file_) return open_file();
  bool whole = false;
  std::size_t entries_max = 0;
  {
    const std::lock_guard lock(mutex_);
    whole = incomplete_;
    entries_max = settings_.entries_max;
  }
  if (whole) return write_whole();
  const auto written = file_->apply(changes, now(), entries_max);
  if (written) return {};
  if (!written.error().corrupt) return fail_with({written.error().text});
  options_.note(observe::Level::Error, fmt::format("the ledger is damaged: {}", written.error().text));
  file_.reset();
  return open_file();
}

/// Everything that must be in the file is in memory.
Result<void> StoredLedger::open_file() {
  auto opened = LedgerFile::open(path_, now());
  if (!opened) return fail_with(opened.error());
  if (!opened->set_aside.empty()) options_.note(observe::Level::Error, "the ledger: " + opened->set_aside);
  file_ = std::move(opened->file);
  return write_whole();
}

Result<void> StoredLedger::write_whole() {
  LedgerFile::Items items;
  {
    const std::lock_guard lock(mutex_);
    items.reserve(index_.size());
    index_.for_each([&](const delivery::LedgerIndex::Item& item) { items.push_back(item); });
    // What comes from now on waits for the next write.
    incomplete_ = false;
  }
  if (const auto written = file_->replace(items); !written) {
    if (written.error().corrupt) file_.reset();
    return fail_with({written.error().text});
  }
  return {};
}

void StoredLedger::wrote(const Result<void>& result) {
  if (result) {
    if (!counts_.last_failure.empty()) options_.note(observe::Level::Info, "the ledger can be written again");
    counts_.last_failure.clear();
    return;
  }
  incomplete_ = true;
  ++counts_.failures;
  if (std::exchange(counts_.last_failure, result.error().text) != result.error().text) {
    options_.note(observe::Level::Error,
                  fmt::format("the ledger cannot be written: {}; entries are kept in memory until it can",
                              result.error().text));
  }
}

}  // namespace postern::storage
