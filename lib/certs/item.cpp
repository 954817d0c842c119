#include "certs/item.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "base/text.h"
#include "certs/pem.h"
#include "tls/digest.h"

namespace postern::certs {

namespace {

constexpr std::size_t pem_octets_max = 1024 * 1024;
constexpr std::size_t staple_octets_max = 64 * 1024;

std::vector<std::string> staple_paths(const std::string& chain) {
  const auto name = chain.rfind('/') + 1;  // npos + 1 is 0
  const auto dot = chain.rfind('.');
  const std::string stem = chain.substr(0, dot != std::string::npos && dot > name ? dot : chain.size());
  std::vector<std::string> paths{stem + ".ocsp", chain + ".ocsp"};
  if (chain.compare(name, std::string::npos, "fullchain.pem") == 0) paths.push_back(chain.substr(0, name) + "ocsp.der");
  return paths;
}

using Folders = std::vector<std::string>;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : slash == 0 ? std::string("/") : path.substr(0, slash);
}

bool has_key(const Item& item, std::size_t file) { return item.form == Form::Together || file == 1; }

std::size_t chain_count(const Item& item) { return item.form == Form::Pair ? 1 : item.files.size(); }

/// Then reading it tells its state, too.
bool is_read_in_any_case(const Item& item, const HowToRead& how, std::size_t file) {
  return item.seen.empty() && how.load == Load::Eager && (how.cache == nullptr || has_key(item, file));
}

Seen look_at(FileSource& files, const std::string& path) {
  const auto state = files.state(path);
  return state ? Seen{*state, {}} : Seen{std::nullopt, state.error().text};
}

/// Reads the files of an item again, for a deferred credential.
class FilesAgain final : public tls::Deferred {
 public:
  FilesAgain(std::shared_ptr<FileSource> files, const Item& item) : files_(std::move(files)) {
    item_.files = item.files;
    item_.form = item.form;
  }

  Result<CredentialPtr> read(const tls::Credential& listed) const override {
    const Reading reading = read_item(files_, item_, {});
    const auto in_place_of_listed = [&](const CredentialPtr& fresh) {
      const auto& leaf = fresh->leaf;
      return leaf.key_kind == listed.leaf.key_kind && leaf.names == listed.leaf.names &&
             leaf.wildcards == listed.leaf.wildcards;
    };
    const auto& all = reading.credentials;
    auto found = std::find_if(all.begin(), all.end(), [&](const CredentialPtr& fresh) {
      return fresh->leaf.fingerprint == listed.leaf.fingerprint;
    });
    // A renewal that the loader has not come to yet is as good.
    if (found == all.end()) found = std::find_if(all.begin(), all.end(), in_place_of_listed);
    if (found != all.end()) return *found;
    if (!reading.problems.empty()) return fail_with({reading.problems.front().text});
    return fail("{}: holds another certificate than when it was listed", listed.source);
  }

 private:
  std::shared_ptr<FileSource> files_;
  Item item_;
};

class ItemReader {
 public:
  ItemReader(const std::shared_ptr<FileSource>& files, FileSource& now, const Item& item, const HowToRead& how)
      : shared_files_(files), files_(now), item_(item), how_(how) {}

  Reading read() {
    reading_.seen.reserve(item_.files.size());
    for (std::size_t i = 0; i < item_.files.size(); ++i) {
      reading_.seen.push_back(is_read_in_any_case(item_, how_, i) ? Seen() : look_at(files_, item_.files[i]));
    }
    find_staples();
    const bool due = item_.read_again_at && *item_.read_again_at <= how_.now;
    if (reading_.seen == item_.seen && !due) return {};
    reading_.changed = true;
    for (const auto& path : item_.files) {
      for (auto& folder : item_.may_be_links ? folders_of(files_, path) : Folders{parent_of(path)}) {
        auto& known = reading_.folders;
        if (std::find(known.begin(), known.end(), folder) == known.end()) known.push_back(std::move(folder));
      }
    }
    if (take_remembered()) return std::move(reading_);
    if (!read_files()) return std::move(reading_);
    if (item_.form == Form::Pair) {
      read_pair();
    } else {
      read_groups();
    }
    for (const auto& path : staples_) read_staple_file(path);
    look_for_issuers();
    finish();
    return std::move(reading_);
  }

 private:
  using Made = std::shared_ptr<tls::Credential>;

  void finish() {
    // What a staple is worth depends on the time, and what is lacking may be put right elsewhere: such items are read anew
    // by each process.
    if (!staples_.empty() || !reading_.problems.empty() || !reading_.lacking.empty()) reading_.remembered.clear();
    for (auto& credential : made_) {
      if (credential->deferred) {
        credential->chain.clear();
        credential->staple.reset();
      }
      if (credential->key && !credential->key.is_decoded() && !reading_.from_cache) reading_.keys_are_believed = true;
      reading_.credentials.push_back(std::move(credential));
    }
  }

  bool is_unread_key(std::size_t file) const {
    return how_.load == Load::Lazy && item_.form == Form::Pair && file == 1;
  }

  /// False when the cache does not know these very files: then they are read, which says what is wrong with them.
  bool take_remembered() {
    if (how_.cache == nullptr || !staples_.empty()) return false;
    auto known = how_.cache->find(item_.key);
    if (!known || known->files.size() != item_.files.size() || !issuers_can_be_judged(*known)) return false;
    if (!reads_the_same(known->files)) return false;
    if (!(how_.load == Load::Lazy ? defer(known->credentials) : give_keys(known->credentials))) {
      return false;
    }
    for (auto& credential : known->credentials) add(std::move(credential));
    reading_.remembered = std::move(known->files);
    reading_.from_cache = true;
    look_for_issuers();
    finish();
    return true;
  }

  /// Without its chain, only that it lacked nothing under the anchors of then is known.
  bool issuers_can_be_judged(const Recollection& known) const {
    const auto here = how_.anchors != nullptr ? std::optional(how_.anchors->digest()) : std::nullopt;
    return here == how_.cache->anchors() ||
           std::none_of(known.credentials.begin(), known.credentials.end(),
                        [](const Made& credential) { return credential->chain.empty(); });
  }

  /// Also reads the files that hold keys, into texts_.
  bool reads_the_same(std::vector<RememberedFile>& known) {
    texts_.resize(known.size());
    bool same = true;
    for (std::size_t i = 0; same && i < known.size(); ++i) {
      RememberedFile& file = known[i];
      const bool wants_key = how_.load == Load::Eager && has_key(item_, i);
      same = wants_key || reading_.seen[i].state == file.state;
      if (!same || is_unread_key(i) || (file.tells_changes && !wants_key)) continue;
      auto contents = files_.read(item_.files[i], pem_octets_max);
      ++reading_.files_read;
      same = contents && contents->state == file.state && file.digest == tls::sha256(contents->bytes);
      if (!same) continue;
      reading_.seen[i] = {contents->state, {}};
      file.tells_changes = state_tells_changes(file.state, how_.now);
      texts_[i] = std::move(contents->bytes);
    }
    if (!same) texts_.clear();
    return same;
  }

  bool defer(const std::vector<Made>& remembered) {
    for (const auto& credential : remembered) credential->deferred = deferred();
    return true;
  }

  /// The digests say that each has the key that was found to fit it, in the same place.
  bool give_keys(const std::vector<Made>& remembered) {
    std::vector<PemGroup> groups;
    if (item_.form == Form::Pair) {
      groups.push_back({texts_[1], true, true});
    } else {
      groups = pem_groups({texts_.begin(), texts_.end()});
    }
    bool whole = groups.size() == remembered.size();
    for (std::size_t i = 0; whole && i < groups.size(); ++i) {
      auto key = tls::find_key(groups[i].text, item_.files.back());
      whole = key && !remembered[i]->chain.empty();
      if (whole) remembered[i]->key = tls::PrivateKey(std::move(*key));
    }
    if (!whole) texts_.clear();
    return whole;
  }

  void find_staples() {
    if (!item_.may_have_staples) return;
    for (std::size_t i = 0; i < chain_count(item_); ++i) {
      for (auto& path : staple_paths(item_.files[i])) {
        if (!files_.exists(path)) continue;
        reading_.seen.push_back(look_at(files_, path));
        staples_.push_back(std::move(path));
        break;
      }
    }
  }

  bool read_files() {
    for (std::size_t i = 0; i < item_.files.size(); ++i) {
      if (is_unread_key(i)) {
        if (reading_.seen[i].state) reading_.remembered.push_back({*reading_.seen[i].state, std::nullopt, false});
        break;
      }
      auto contents = files_.read(item_.files[i], pem_octets_max);
      ++reading_.files_read;
      if (!contents) {
        problem(Fault::Severity::Error, contents.error().text);
        reading_.remembered.clear();
        look_at_the_rest();
        return false;
      }
      // The state of what was read, which may be newer than what was seen a moment ago.
      reading_.seen[i] = {contents->state, {}};
      reading_.remembered.push_back(
          {contents->state, tls::sha256(contents->bytes), state_tells_changes(contents->state, how_.now)});
      texts_.push_back(std::move(contents->bytes));
    }
    return true;
  }

  void look_at_the_rest() {
    for (std::size_t i = 0; i < item_.files.size(); ++i) {
      if (reading_.seen[i] == Seen()) reading_.seen[i] = look_at(files_, item_.files[i]);
    }
  }

  std::shared_ptr<const tls::Deferred> deferred() {
    if (!deferred_) deferred_ = std::make_shared<FilesAgain>(shared_files_, item_);
    return deferred_;
  }

  void read_pair() {
    if (how_.load == Load::Eager) {
      add(tls::make_credential(texts_[0], item_.files[0], texts_[1], item_.files[1], how_.keys));
    } else if (!reading_.seen[1].state) {  // that much is known without reading the key
      problem(Fault::Severity::Error, reading_.seen[1].error);
    } else {
      add(tls::make_deferred_credential(texts_[0], item_.files[0], deferred()));
    }
  }

  void read_groups() {
    const auto groups = pem_groups({texts_.begin(), texts_.end()});
    const std::string names = fmt::format("{}", fmt::join(item_.files, ", "));
    // A folder of keys and certificates may hold PEM files that are something else: no reason for alarm.
    const auto severity = item_.stem.empty() ? Fault::Severity::Error : Fault::Severity::Warning;
    if (groups.empty()) problem(severity, fmt::format("{}: holds no certificate and no private key in PEM form", names));
    for (const auto& group : groups) {
      if (!group.has_key) {
        problem(severity, fmt::format("{}: holds a certificate without its private key", names));
      } else if (!group.has_certificate) {
        problem(severity, fmt::format("{}: holds a private key without its certificate", names));
      } else if (how_.load == Load::Eager) {
        add(tls::make_credential(group.text, names, group.text, names, how_.keys));
      } else {
        add(tls::make_deferred_credential(group.text, names, deferred()));
      }
    }
  }

  /// Gives the staple to the certificate that it is about.
  void read_staple_file(const std::string& path) {
    if (made_.empty()) return;  // there is enough to be said already
    const auto contents = files_.read(path, staple_octets_max);
    ++reading_.files_read;
    if (!contents) return remark(contents.error().text);
    for (const auto& credential : made_) {
      const auto& chain = credential->chain;
      auto staple = tls::read_staple(contents->bytes, path, chain[0].get(), chain.size() > 1 ? chain[1].get() : nullptr);
      if (!staple) return remark(staple.error().text);
      if (!*staple) continue;
      judge_freshness(**staple, path);
      credential->staple = std::move(*staple);  // whether it is fresh is asked again at each handshake
      return;
    }
    remark(path + ": is an OCSP response for another certificate");
  }

  void look_for_issuers() {
    if (how_.anchors == nullptr) return;
    for (const auto& credential : made_) {
      const auto missing = how_.anchors->missing_issuer(credential->chain, how_.now);
      if (!missing) continue;
      const auto which = missing->place == 1 ? std::string("its certificate")
                                             : fmt::format("certificate {} of its chain", missing->place);
      reading_.lacking.push_back(
          {credential->leaf.fingerprint,
           fmt::format("{}: {} was issued by {}, which is neither in the file nor among the trust anchors of {}: senders "
                       "that check will refuse it; append the certificate of that issuer to the file, or name it in "
                       "certificates.roots if it is a CA of your own",
                       credential->source, which, missing->issuer, how_.anchors->source())});
    }
  }

  void judge_freshness(const tls::Staple& staple, const std::string& path) {
    if (staple.is_fresh(how_.now)) return read_again_at(staple.next_update);
    if (staple.next_update <= how_.now) {
      return remark(fmt::format("{}: is stale: it was good until {}", path, rfc3339(staple.next_update)));
    }
    remark(fmt::format("{}: is not good before {}", path, rfc3339(staple.this_update)));
    read_again_at(staple.this_update);
  }

  void read_again_at(WallTime when) {
    reading_.read_again_at = std::min(when, reading_.read_again_at.value_or(when));
  }

  void add(Result<Made> credential) {
    if (credential) {
      (*credential)->key_files.assign(item_.files.begin() + (item_.form == Form::Pair ? 1 : 0), item_.files.end());
      made_.push_back(std::move(*credential));
    } else {
      problem(Fault::Severity::Error, credential.error().text);
    }
  }

  void problem(Fault::Severity severity, std::string text) {
    reading_.problems.push_back({severity, item_.label(), std::move(text)});
  }

  void remark(std::string text) {
    reading_.remarks.push_back(
        {Fault::Severity::Warning, item_.label(), std::move(text) + "; the certificate is served without it"});
  }

  const std::shared_ptr<FileSource>& shared_files_;  // for later
  FileSource& files_;
  const Item& item_;
  const HowToRead& how_;
  Reading reading_;
  std::vector<std::string> texts_;
  std::vector<std::string> staples_;
  std::vector<Made> made_;
  std::shared_ptr<const tls::Deferred> deferred_;
};

}  // namespace

bool is_staple_name(std::string_view name) { return name.ends_with(".ocsp") || name == "ocsp.der"; }

Reading read_item(const std::shared_ptr<FileSource>& files, const Item& item, const HowToRead& how, FileSource* ahead) {
  return ItemReader(files, ahead != nullptr ? *ahead : *files, item, how).read();
}

void add_wishes(const Item& item, const HowToRead& how, std::vector<Wish>& wishes) {
  for (std::size_t i = 0; i < item.files.size(); ++i) {
    const bool reads = is_read_in_any_case(item, how, i);
    wishes.push_back({reads ? Wish::What::Read : Wish::What::State, item.files[i], reads ? pem_octets_max : 0});
  }
  const std::size_t chains = item.may_have_staples ? chain_count(item) : 0;
  for (std::size_t i = 0; i < chains; ++i) {
    for (auto& path : staple_paths(item.files[i])) wishes.push_back({Wish::What::State, std::move(path)});
  }
  if (!item.seen.empty() || !item.may_be_links) return;
  for (const auto& path : item.files) wishes.push_back({Wish::What::LinkTarget, path});
}

std::vector<std::string> folders_of(FileSource& files, const std::string& path) {
  std::vector<std::string> folders{parent_of(path)};
  if (const auto target = files.link_target(path)) {
    folders.push_back(parent_of(target->starts_with('/') ? *target : folders[0] + '/' + *target));
  }
  return folders;
}

bool same_credential(const tls::Credential& a, const tls::Credential& b) {
  const auto octets = [](const bssl::UniquePtr<CRYPTO_BUFFER>& buffer) {
    return std::string_view(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer.get())),
                            CRYPTO_BUFFER_len(buffer.get()));
  };
  return !a.deferred && !b.deferred && a.staple == b.staple &&
         std::equal(a.chain.begin(), a.chain.end(), b.chain.begin(), b.chain.end(),
                    [&](const auto& x, const auto& y) { return octets(x) == octets(y); });
}

}  // namespace postern::certs
