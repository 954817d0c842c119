#include "certs/item.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "certs/pem.h"

namespace postern::certs {

namespace {

constexpr std::size_t pem_octets_max = 1024 * 1024;

Seen look_at(FileSource& files, const std::string& path) {
  const auto state = files.state(path);
  return state ? Seen{*state, {}} : Seen{std::nullopt, state.error().text};
}

class ItemReader {
 public:
  ItemReader(FileSource& files, const Item& item) : files_(files), item_(item) {}

  Reading read() {
    for (const auto& path : item_.files) reading_.seen.push_back(look_at(files_, path));
    if (reading_.seen == item_.seen) return {};
    reading_.changed = true;
    for (const auto& path : item_.files) {
      for (auto& folder : folders_of(files_, path)) {
        auto& known = reading_.folders;
        if (std::find(known.begin(), known.end(), folder) == known.end()) known.push_back(std::move(folder));
      }
    }
    if (!read_files()) return std::move(reading_);
    if (item_.form == Form::Pair) {
      add(tls::make_credential(texts_[0], item_.files[0], texts_[1], item_.files[1]));
    } else {
      read_groups();
    }
    return std::move(reading_);
  }

 private:
  bool read_files() {
    for (std::size_t i = 0; i < item_.files.size(); ++i) {
      auto contents = files_.read(item_.files[i], pem_octets_max);
      ++reading_.files_read;
      if (!contents) {
        problem(Fault::Severity::Error, contents.error().text);
        return false;
      }
      // The state of what was read, which may be newer than what was seen a moment ago.
      reading_.seen[i] = {contents->state, {}};
      texts_.push_back(std::move(contents->bytes));
    }
    return true;
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
      } else {
        add(tls::make_credential(group.text, names, group.text, names));
      }
    }
  }

  void add(Result<std::shared_ptr<tls::Credential>> credential) {
    if (credential) {
      (*credential)->key_files.assign(item_.files.begin() + (item_.form == Form::Pair ? 1 : 0), item_.files.end());
      reading_.credentials.push_back(std::move(*credential));
    } else {
      problem(Fault::Severity::Error, credential.error().text);
    }
  }

  void problem(Fault::Severity severity, std::string text) {
    reading_.problems.push_back({severity, item_.label, std::move(text)});
  }

  FileSource& files_;
  const Item& item_;
  Reading reading_;
  std::vector<std::string> texts_;
};

}  // namespace

Reading read_item(FileSource& files, const Item& item) { return ItemReader(files, item).read(); }

std::vector<std::string> folders_of(FileSource& files, const std::string& path) {
  const auto parent = [](const std::string& of) {
    const auto slash = of.rfind('/');
    return slash == std::string::npos ? std::string(".") : slash == 0 ? std::string("/") : of.substr(0, slash);
  };
  std::vector<std::string> folders{parent(path)};
  if (const auto target = files.link_target(path)) {
    folders.push_back(parent(target->starts_with('/') ? *target : folders[0] + '/' + *target));
  }
  return folders;
}

bool same_chain(const tls::Credential& a, const tls::Credential& b) {
  const auto octets = [](const bssl::UniquePtr<CRYPTO_BUFFER>& buffer) {
    return std::string_view(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(buffer.get())),
                            CRYPTO_BUFFER_len(buffer.get()));
  };
  return std::equal(a.chain.begin(), a.chain.end(), b.chain.begin(), b.chain.end(),
                    [&](const auto& x, const auto& y) { return octets(x) == octets(y); });
}

}  // namespace postern::certs
