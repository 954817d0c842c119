// The ledger of one posternd: all entries in memory, behind a mutex that is never held over a write or a callback, and a
// thread of its own that brings them to the disk.
//
// Sessions ask the memory only, so that a slow disk delays nobody but those whose outcome was mixed, and SQLite is not
// touched at all while none is. What waits is written in one transaction, so that a burst costs one sync. When a write
// fails, what is in memory still holds, and is written whole as soon as the disk works again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/storage/ledger_file.h"
#include "delivery/ledger.h"
#include "observe/log_line.h"

namespace postern::storage {

/// The process that has the file of a ledger now, as one sees it that still has sessions.
class LedgerHeir {
 public:
  /// In this order.
  struct News {
    std::vector<delivery::LedgerEntry> held, recorded, consumed, released;
  };
  virtual ~LedgerHeir() = default;
  /// Returns when it has them on its disk, or when it cannot; blocks.
  virtual Result<void> tell(const News& news) = 0;
};

class StoredLedger final : public delivery::Ledger {
 public:
  struct Options {
    std::string state_dir;  ///< holds ledger.sqlite and ledger.key
    delivery::LedgerSettings settings;
    std::function<void(observe::Level, std::string_view)> note;  ///< from any thread
    std::size_t waiting_max = 10'000;                            ///< changes that wait for the disk
  };

  /// Fails when the secret can neither be read nor made. Entries that cannot be read, or a file that cannot be written,
  /// are noted, and no reason to turn mail away. Blocks: it reads the file.
  static Result<std::unique_ptr<StoredLedger>> open(Options options);
  ~StoredLedger() override;

  /// For what is recorded from now on.
  void configure(const delivery::LedgerSettings& settings);

  /// Writes what waits and closes the file, which is the heir's when `closed` is called (on a thread of the ledger's).
  /// From then on what changes is told to the heir; what the heir changes is not known here. What is held or could not
  /// be written is told to it first.
  void bequeath(std::shared_ptr<LedgerHeir> heir, std::function<void()> closed);
  /// There is no heir after all, and it has changed nothing: the file is opened again and written whole.
  void take_back();

  /// Writes what waits, calls back whoever waits for it, and ends the thread. What is recorded later stays in memory.
  void stop();

  bool empty() const override { return size_.load(std::memory_order_relaxed) == 0; }
  const delivery::LedgerSecret& secret() const override { return secret_; }
  delivery::Lane lane(const delivery::EnvelopeKey& envelope) const override;
  bool knows(const delivery::EnvelopeKey& envelope) const override;
  std::optional<delivery::LedgerEntry> find(const delivery::EnvelopeKey& envelope,
                                            const delivery::MessageKey& message) const override;
  void record(std::vector<delivery::LedgerEntry> entries, std::function<void(Result<void>)> done) override;
  void hold(const std::vector<delivery::LedgerEntry>& entries) override;
  void release(const std::vector<delivery::LedgerEntry>& entries) override;
  bool held(const delivery::EnvelopeKey& envelope, const delivery::MessageKey& message) const override;
  void consume(const std::vector<delivery::LedgerEntry>& entries) override;
  void count(delivery::LedgerUse use) override;
  delivery::LedgerCounts counts() const override;

 private:
  using Done = std::function<void(Result<void>)>;
  struct Waiting {
    LedgerFile::Changes changes;
    std::vector<delivery::LedgerEntry> held, released;  // for an heir
    std::vector<Done> done;
    std::size_t count = 0;  // of all of them
  };

  StoredLedger(Options options, delivery::LedgerSecret secret);
  void load();
  void run();
  bool has_work() const;
  void pass_on();
  Result<void> write(const Waiting& waiting);
  Result<void> open_file();
  Result<void> write_whole();
  void wrote(const Result<void>& result);
  void forget_expired() const;
  void note_size() const;

  const Options options_;
  const std::string path_;
  const delivery::LedgerSecret secret_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  delivery::LedgerSettings settings_;
  mutable delivery::LedgerIndex index_;
  std::multimap<delivery::EnvelopeKey, delivery::MessageKey> held_;
  mutable std::atomic<std::size_t> size_{0};  // of both
  mutable bool expired_ = false;  // since the last write
  delivery::LedgerCounts counts_;
  Waiting waiting_;
  bool incomplete_ = false;  // the file lacks something that is in memory: it is written whole next time
  bool stopping_ = false;
  std::shared_ptr<LedgerHeir> next_heir_;  // until the file is closed
  std::function<void()> on_closed_;
  bool taken_back_ = false;  // and not yet written

  std::shared_ptr<LedgerHeir> heir_;  // changed by the thread alone, with the mutex held
  std::optional<LedgerFile> file_;  // of the thread's, once it runs
  std::thread thread_;
};

}  // namespace postern::storage
