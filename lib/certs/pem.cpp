#include "certs/pem.h"

#include <optional>

namespace postern::certs {

namespace {

enum class Kind { Certificate, Key, Other };

struct Block {
  Kind kind;
  std::string_view text;
};

constexpr std::string_view begin_mark = "-----BEGIN ";
constexpr std::string_view dashes = "-----";

std::vector<Block> blocks_of(std::string_view text) {
  std::vector<Block> blocks;
  for (std::size_t begin = 0; (begin = text.find(begin_mark, begin)) != std::string_view::npos;) {
    const auto label_begin = begin + begin_mark.size();
    const auto label_end = text.find(dashes, label_begin);
    if (label_end == std::string_view::npos) break;
    const auto label = text.substr(label_begin, label_end - label_begin);
    const auto last = text.find("-----END ", label_end);
    // A block without an end is passed on to its end all the same, so that reading it fails with a reason.
    auto end = last == std::string_view::npos ? text.size() : text.find('\n', last);
    end = end == std::string_view::npos ? text.size() : end;
    Kind kind = Kind::Other;
    if (label.ends_with("PRIVATE KEY")) kind = Kind::Key;
    if (label == "CERTIFICATE" || label == "X509 CERTIFICATE" || label == "TRUSTED CERTIFICATE") {
      kind = Kind::Certificate;
    }
    blocks.push_back({kind, text.substr(begin, end - begin)});
    begin = end;
  }
  return blocks;
}

class Grouping {
 public:
  void add_file(std::string_view text) {
    const auto blocks = blocks_of(text);
    bool has_key = false;
    for (const auto& block : blocks) has_key = has_key || block.kind == Kind::Key;
    // Certificates at the start of a file with a key of its own are that key's; without one they continue a chain.
    if (complete() && has_key) close();
    for (const auto& block : blocks) add(block);
  }

  std::vector<PemGroup> finish() {
    close();
    return std::move(groups_);
  }

 private:
  bool complete() const { return group_.has_key && group_.has_certificate; }

  void add(const Block& block) {
    if (block.kind == Kind::Key) {
      if (group_.has_key) close();
      group_.has_key = true;
      key_ended_ = group_.has_certificate;
    } else if (block.kind == Kind::Certificate) {
      if (key_ended_) close();
      group_.has_certificate = true;
    } else {
      return;
    }
    group_.text += block.text;
    group_.text += '\n';
  }

  void close() {
    if (!group_.text.empty()) groups_.push_back(std::move(group_));
    group_ = PemGroup();
    key_ended_ = false;
  }

  std::vector<PemGroup> groups_;
  PemGroup group_;
  bool key_ended_ = false;  // the key came behind its certificates: what follows belongs to another
};

}  // namespace

std::vector<PemGroup> pem_groups(const std::vector<std::string_view>& files) {
  Grouping grouping;
  for (const auto file : files) grouping.add_file(file);
  return grouping.finish();
}

}  // namespace postern::certs
