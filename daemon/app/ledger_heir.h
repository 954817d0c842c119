// What the last sessions of a replaced posternd have for the ledger, told to the posternd that has its file now.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/descriptor.h"
#include "daemon/storage/ledger.h"

namespace postern::app {

/// The old one's end; `descriptor`: a stream socket.
std::shared_ptr<storage::LedgerHeir> make_ledger_heir(Descriptor descriptor);

/// The new one's end: a thread that records what it is told, and says so when it is on the disk.
class LedgerTestament {
 public:
  /// `ledger` must outlive it.
  LedgerTestament(Descriptor descriptor, storage::StoredLedger& ledger);
  ~LedgerTestament();

 private:
  void run();

  Descriptor descriptor_;
  storage::StoredLedger& ledger_;
  std::thread thread_;
};

}  // namespace postern::app
