#include "daemon/app/ledger_heir.h"

#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <future>
#include <optional>
#include <string>
#include <utility>

#include "certs/binary.h"
#include "daemon/app/framed_messages.h"

namespace postern::app {

namespace {

using certs::BinaryReader;
using certs::BinaryWriter;
using delivery::LedgerDigest;
using delivery::LedgerEntry;
using Entries = std::vector<LedgerEntry>;

// Refusals are as long as replies are; so many can wait at a time as the ledger has entries.
constexpr std::uint64_t news_octets_max = 256 * 1024 * 1024;
constexpr std::uint64_t answer_octets_max = 64 * 1024;

void add(BinaryWriter& message, const LedgerDigest& digest) {
  message.text({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

LedgerDigest digest_in(BinaryReader& fields) {
  LedgerDigest digest{};
  const auto octets = fields.view();
  std::copy_n(octets.begin(), std::min(octets.size(), digest.size()), digest.begin());
  return digest;
}

void add(BinaryWriter& message, const Entries& entries) {
  message.number(entries.size());
  for (const LedgerEntry& entry : entries) {
    add(message, entry.envelope.digest);
    add(message, entry.message.digest);
    message.number(entry.refusal ? static_cast<std::uint64_t>(entry.refusal->code) : 0);
    message.text(entry.refusal ? entry.refusal->enhanced : "");
    message.text(entry.refusal ? entry.refusal->text : "");
  }
}

Entries entries_in(BinaryReader& fields) {
  Entries entries;
  for (auto left = fields.count(); left > 0 && fields.good(); --left) {
    LedgerEntry entry;
    entry.envelope.digest = digest_in(fields);
    entry.message.digest = digest_in(fields);
    const auto code = static_cast<int>(fields.number());
    std::string enhanced = fields.text();
    std::string text = fields.text();
    if (code != 0) entry.refusal = smtp::Reply{code, std::move(enhanced), std::move(text)};
    entries.push_back(std::move(entry));
  }
  return entries;
}

/// The answer: empty when all is well.
class SocketHeir final : public storage::LedgerHeir {
 public:
  explicit SocketHeir(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

  Result<void> tell(const News& news) override {
    BinaryWriter message;
    for (const Entries* entries : {&news.held, &news.recorded, &news.consumed, &news.released}) add(message, *entries);
    if (send_message(descriptor_.get(), message)) {
      if (const auto answer = receive_message(descriptor_.get(), answer_octets_max)) {
        if (answer->empty()) return {};
        return fail("{}", *answer);
      }
    }
    return fail("the posternd that has taken over has ended");
  }

 private:
  Descriptor descriptor_;
};

/// Without its first appearance there.
void take_out(Entries& from, const LedgerEntry& entry) {
  const auto found = std::find_if(from.begin(), from.end(), [&entry](const LedgerEntry& each) {
    return each.envelope == entry.envelope && each.message == entry.message;
  });
  if (found != from.end()) from.erase(found);
}

}  // namespace

std::shared_ptr<storage::LedgerHeir> make_ledger_heir(Descriptor descriptor) {
  return std::make_shared<SocketHeir>(std::move(descriptor));
}

LedgerTestament::LedgerTestament(Descriptor descriptor, storage::StoredLedger& ledger)
    : descriptor_(std::move(descriptor)), ledger_(ledger), thread_([this] { run(); }) {}

LedgerTestament::~LedgerTestament() {
  ::shutdown(descriptor_.get(), SHUT_RDWR);
  thread_.join();
}

void LedgerTestament::run() {
  pthread_setname_np(pthread_self(), "testament");
  Entries held;  // by sessions of the predecessor
  while (const auto message = receive_message(descriptor_.get(), news_octets_max)) {
    BinaryReader fields(*message);
    const Entries now_held = entries_in(fields);
    Entries recorded = entries_in(fields);
    const Entries consumed = entries_in(fields);
    const Entries released = entries_in(fields);
    if (!fields.at_end()) break;
    ledger_.hold(now_held);
    held.insert(held.end(), now_held.begin(), now_held.end());
    Result<void> result;
    if (!recorded.empty()) {
      std::promise<Result<void>> written;
      ledger_.record(std::move(recorded), [&written](Result<void> outcome) { written.set_value(std::move(outcome)); });
      result = written.get_future().get();
    }
    ledger_.consume(consumed);
    ledger_.release(released);
    for (const LedgerEntry& entry : released) take_out(held, entry);
    BinaryWriter answer;
    if (!result) answer.raw(result.error().text);
    if (!send_message(descriptor_.get(), answer)) break;
  }
  ledger_.release(held);
}

}  // namespace postern::app
