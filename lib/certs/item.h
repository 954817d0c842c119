// An item of a source: one certificate (or several for one set of names) with the files that it is made of; and reading
// those files.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/instant.h"
#include "base/result.h"
#include "certs/anchors.h"
#include "certs/contest.h"
#include "certs/fault.h"
#include "certs/loader.h"
#include "certs/name_index.h"
#include "certs/start_cache.h"

namespace postern::certs {

/// What a look at a file showed: enough to know whether it has to be read again.
struct Seen {
  std::optional<FileState> state;
  std::string error;  ///< without a state: why

  friend bool operator==(const Seen&, const Seen&) = default;
};

/// A certificate whose chain ends before it comes to a trust anchor.
struct Lacking {
  tls::Digest leaf{};  ///< fingerprint
  std::string text;    ///< what it lacks, and what to do
};

using CredentialPtr = std::shared_ptr<const tls::Credential>;

struct Place;

/// How the files of an item hold keys and chains.
enum class Form : std::uint8_t {
  Pair,     ///< a chain and a key
  Together  ///< PEM blocks of all the files in a row: see pem_groups()
};

struct Item {
  // What the source says:
  Place* place = nullptr;
  std::string key;                       ///< tells it from all other items
  std::vector<std::string> files;        ///< for Form::Pair the chain first
  Form form = Form::Pair;
  std::string stem;                      ///< in a folder: what it is named after
  bool may_have_staples = true;          ///< false: the listing of its folder shows none
  bool may_be_links = true;              ///< its files; false: likewise
  std::string id;                        ///< of a [[certificate]]
  std::string origin;                    ///< where a [[certificate]] stands, for messages
  std::uint32_t order = 0;
  std::vector<NameIndex::Id> declared;   ///< names that the operator gave it, sorted; empty: those of the certificate

  // Of these, names that its map no longer has, and since when:
  std::vector<NameIndex::Id> leaving;
  WallTime leaving_since{};

  // When it was there last (by the count of looks), and since when it is not:
  std::uint64_t seen_in_look = 0;
  std::optional<WallTime> missing_since;

  // What its files gave:
  std::vector<Seen> seen;                ///< one for each file, then for staples; empty before the first reading
  std::optional<WallTime> read_again_at; ///< although no file changes: a staple begins or ceases to be fresh
  std::vector<std::string> folders;      ///< those of its files and of what they link to
  std::vector<CredentialPtr> good;       ///< the last that could be used
  std::vector<RememberedFile> remembered;  ///< its files, for a StartCache; empty: nothing that can be remembered
  bool keys_are_believed = false;        ///< those of `good`, until they are proven
  std::vector<Fault> problems;           ///< with the files as they are now
  std::optional<WallTime> failing_since; ///< when there are problems: the load that saw the first
  std::optional<Fault> held;             ///< why what its files hold now is not served yet; see Gate
  std::vector<Fault> remarks;            ///< what is wrong with staples: the certificate is served without
  std::vector<Lacking> lacking;          ///< of `good`, those whose chains lack an issuer
  std::vector<Fault> faults;             ///< all that is wrong with it, as reported

  /// What it is called in messages.
  const std::string& label() const { return origin.empty() ? files.front() : origin; }
};

struct Reading {
  bool changed = false;                  ///< false: the files are those of the last reading, and nothing else is set
  std::vector<Seen> seen;
  std::vector<std::string> folders;
  std::vector<CredentialPtr> credentials;
  std::vector<Fault> problems;           ///< why there are none, or not all
  std::vector<Fault> remarks;            ///< see Item
  std::vector<Lacking> lacking;          ///< see Item
  std::optional<WallTime> read_again_at;
  std::vector<RememberedFile> remembered;  ///< see Item
  bool keys_are_believed = false;        ///< one at least: see tls::KeyCheck::Claim
  bool from_cache = false;               ///< nothing had to be found out anew
  std::size_t files_read = 0;
};

struct HowToRead {
  Load load = Load::Eager;
  WallTime now{};
  const Anchors* anchors = nullptr;  ///< null: nothing is said about chains
  const StartCache* cache = nullptr;  ///< of an earlier process; may be null
  tls::KeyCheck keys = tls::KeyCheck::Whole;
};

/// Looks at the files of an item and reads them if one has changed. Does not touch the item. With Load::Lazy the
/// credentials are deferred ones, which hold on to `files`.
///
/// An OCSP response is looked for beside each chain: NAME.ocsp for NAME.pem, NAME.crt and so on, or NAME.pem.ocsp
/// (HAProxy), or ocsp.der beside fullchain.pem (dehydrated).
///
/// `ahead`: a source that was asked in advance, to read from now; may be null.
Reading read_item(const std::shared_ptr<FileSource>& files, const Item& item, const HowToRead& how,
                  FileSource* ahead = nullptr);

/// What reading the item is going to ask for certainly.
void add_wishes(const Item& item, const HowToRead& how, std::vector<Wish>& wishes);

/// Whether a file of this name may be an OCSP response beside a chain.
bool is_staple_name(std::string_view name);

/// The folders in which a change may concern the file: its own, and that of its target when it is a link.
std::vector<std::string> folders_of(FileSource& files, const std::string& path);

/// Whether what is served is the same octet for octet: chain (then the keys are equal too, since they match the leaf) and
/// staple. False where that is not known, because one of them is deferred.
bool same_credential(const tls::Credential& a, const tls::Credential& b);

}  // namespace postern::certs
