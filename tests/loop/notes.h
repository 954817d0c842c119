// A journal that keeps what an operator would be told.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "daemon/session/journal.h"

namespace postern::session::test {

class Notes final : public Journal {
 public:
  void record(const observe::SessionRecord&) override {}
  void record(const observe::RecipientRecord&) override {}
  void record(const observe::HttpRecord&) override {}
  void note(observe::Level, std::string_view message) override { lines.emplace_back(message); }

  bool has(std::string_view text) const {
    for (const auto& line : lines) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  }
  std::vector<std::string> lines;
};

}  // namespace postern::session::test
