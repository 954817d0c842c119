// Who already has a message, or was refused it, when its sender was told `451` (DESIGN: one SMTP reply for recipients
// that fared differently). The interface; what keeps the entries over a crash stands behind it, in daemon/storage.
//
// How a mixed outcome converges
//
// A message whose recipients fared differently is answered `451`, and so comes again, whole. An entry in the ledger
// belongs to one message and one recipient and says `served` or `refused` (with the backend's exact reply). On the retry
// a served recipient counts as taken without a second delivery, and a refused one as refused without a second attempt.
// But there is one reply for all recipients of a transaction: were served and refused ones to come together again, the
// answer would be `451` for ever. So they are separated: a transaction takes recipients of one lane, the others get
// `450 4.5.3` at RCPT, and the sender brings them in a transaction of their own, as it does after any 4xx there. The
// served transaction ends in 250, the refused one in its 5xx, and the only bounce is the one that the sender's MTA makes.
//
// The trouble is that RCPT comes before the message. What is known there is sender and recipient; whether it is the same
// message is known only behind the final dot. Therefore two keys (ledger_key.h):
//
//   EnvelopeKey, at RCPT    has this sender any message with an entry for this recipient? That decides the lane:
//                             nothing, or only served ones    Lane::Open
//                             only refused ones               Lane::Refused
//                             both (of different messages)    Lane::Alone: it travels without company
//   MessageKey, at the dot  is it this message? Only then does the entry decide what becomes of the recipient.
//
// The lane is a guess and costs another message of the same sender at most a `450` for some of its recipients; it is
// delivered when they come again. (Its recipients in Lane::Refused come together, none of them matches, and all are
// handed to the backend.) Nothing is ever refused or taken on account of an envelope alone.
//
// Why it ends: say a transaction ends mixed again. In Lane::Open no recipient had a refusal, so each that was refused now
// leaves the lane, and each that was taken is served from now on; the deferred are asked again, and the next try is over
// fewer. In Lane::Refused a recipient that was taken (the refusal was of another message) has both kinds now and leaves
// for Lane::Alone, where a transaction has one recipient and cannot be mixed. Served and deferred recipients share
// Lane::Open: when the deferred one is taken at last, all are, and the answer is 250.
//
// An entry is consumed when the message has had its final answer for that recipient and the sender has had the answer;
// then a later identical message is a new one. What is never asked for again expires. When the ledger is full, the
// entries that are next to expire make room.
//
// Other things than a mixed outcome that leave an entry: an answer of a backend that came after the sender was told 451,
// and a final 250 that could not be written to the client. A sender with PRDR takes a reply for each recipient: nothing
// of its outcome is mixed, and its recipients are not separated.
//
// While such an answer is still awaited, or the connection of a sender broke and its message is still being handed off,
// the recipient is held: the same message gets `451` for it, without another delivery, until that is over. Holds are in
// memory only, and end with the hand-off.
//
// What it cannot know: what a backend did whose connection broke between its delivery and its answer. The sender is told
// 451, and the recipient may get the message twice; never not at all.
//
// Whoever knows a message before it comes (its sender, Message-ID, date, subject and body) can bring it here first, and
// if just then the outcome is mixed, the recipient has had that copy, or refused it, and the later one counts as the
// retry. Binding entries to the client's address would prevent it, but big senders try again from other networks.
//
// What must stay out: clocks, files, the comparison of replies (outcome.h).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "delivery/ledger_key.h"
#include "delivery/settings.h"
#include "smtp/reply.h"

namespace postern::delivery {

/// Which recipients may be in one transaction.
enum class Lane { Open, Refused, Alone };

/// The recipients that a transaction has admitted.
class Separation {
 public:
  /// Admits the recipient if its lane allows it.
  bool admit(Lane lane);

 private:
  std::optional<Lane> lane_;  // of all that were admitted
};

/// What became of one recipient of one message.
struct LedgerEntry {
  EnvelopeKey envelope;
  MessageKey message;
  std::optional<smtp::Reply> refusal;  ///< nothing: the recipient has been served
};

struct LedgerCounts {
  std::uint64_t entries = 0;       ///< now
  std::uint64_t recorded = 0;      ///< since the start, like all below
  std::uint64_t deduplicated = 0;  ///< recipients that counted as taken without a second delivery
  std::uint64_t refused = 0;       ///< recipients that got the recorded refusal
  std::uint64_t separated = 0;     ///< recipients that were sent to another transaction
  std::uint64_t dropped = 0;       ///< entries that made room for others before their time
  std::uint64_t failures = 0;      ///< what could not be written to disk
  std::string last_failure;
};

/// For log lines and counters: what an entry was good for.
enum class LedgerUse { Deduplicated, Refused, Separated };

/// Callable from any thread; never blocks.
class Ledger {
 public:
  virtual ~Ledger() = default;

  /// No entry and no hold for anybody: nothing else need be asked, and no key be made.
  virtual bool empty() const = 0;

  virtual const LedgerSecret& secret() const = 0;

  virtual Lane lane(const EnvelopeKey& envelope) const = 0;
  /// Whether there is an entry or a hold for this envelope, of whatever message.
  virtual bool knows(const EnvelopeKey& envelope) const = 0;
  virtual std::optional<LedgerEntry> find(const EnvelopeKey& envelope, const MessageKey& message) const = 0;

  /// What is recorded holds at once; `done` comes, on a thread of the ledger's, when it has reached the disk too, or
  /// could not: then it holds until the process ends, and the log says so. An entry of the same message and recipient
  /// is replaced. `done` may be null.
  virtual void record(std::vector<LedgerEntry> entries, std::function<void(Result<void>)> done) = 0;

  /// What becomes of these recipients is being found out: nobody else should deliver to them meanwhile. As often as
  /// held they must be released; refusals are not looked at.
  virtual void hold(const std::vector<LedgerEntry>& entries) = 0;
  virtual void release(const std::vector<LedgerEntry>& entries) = 0;
  virtual bool held(const EnvelopeKey& envelope, const MessageKey& message) const = 0;

  /// The sender has had its final answer. Entries that are not there are no error; refusals are not looked at.
  virtual void consume(const std::vector<LedgerEntry>& entries) = 0;

  virtual void count(LedgerUse use) = 0;
  virtual LedgerCounts counts() const = 0;
};

/// The entries in memory. Not for several threads at once.
class LedgerIndex {
 public:
  struct Item {
    LedgerEntry entry;
    WallTime expires;
  };

  void put(Item item);
  /// False when there was none.
  bool erase(const EnvelopeKey& envelope, const MessageKey& message);

  Lane lane(const EnvelopeKey& envelope) const;
  bool knows(const EnvelopeKey& envelope) const { return by_envelope_.contains(envelope); }
  const LedgerEntry* find(const EnvelopeKey& envelope, const MessageKey& message) const;

  /// Drops what has expired; returns how many there were.
  std::size_t expire(WallTime now);
  /// Drops what is next to expire until `entries_max` are left; returns how many had to go.
  std::size_t shrink(std::size_t entries_max);

  std::size_t size() const { return by_expiry_.size(); }
  void for_each(const std::function<void(const Item&)>& visit) const;

 private:
  struct Hash {
    std::size_t operator()(const EnvelopeKey& key) const;
  };
  using Position = std::tuple<WallTime, EnvelopeKey, MessageKey>;

  void drop_first();

  std::unordered_map<EnvelopeKey, std::vector<Item>, Hash> by_envelope_;
  std::set<Position> by_expiry_;
};

}  // namespace postern::delivery
