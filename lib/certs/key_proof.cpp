// Decoding the keys that a start has believed.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "certs/loader_state.h"
#include "certs/waves.h"

namespace postern::certs {

std::optional<LoadOutcome> Loader::State::prove_keys(std::size_t items_max, WallTime at, const Executor& executor) {
  std::vector<Job> jobs;
  for (; jobs.size() < items_max && !to_prove.empty(); to_prove.pop_back()) {
    const auto item = inventory.items().find(to_prove.back());
    if (item != inventory.items().end() && item->second.keys_are_believed) jobs.push_back({item->first, &item->second});
  }
  enum class Keys : std::uint8_t { Fit, DoNotFit };
  bool all_fit = true;
  in_waves<Keys>(
      jobs.size(), executor,
      [&](std::size_t first, std::span<Keys> found) {
        for (std::size_t i = 0; i < found.size(); ++i) {
          const auto& good = jobs[first + i].item->good;
          found[i] = std::all_of(good.begin(), good.end(), [](const auto& one) { return one->key.can_be_decoded(); })
                         ? Keys::Fit
                         : Keys::DoNotFit;
        }
      },
      [&](std::size_t i, Keys found) {
        const auto [id, item] = jobs[i];
        item->keys_are_believed = false;
        if (found == Keys::Fit) return;
        all_fit = false;
        item->good.clear();
        item->seen.clear();  // reading it says what is wrong
        unread.insert(id);
      });
  if (all_fit) return std::nullopt;
  begin(at);
  const std::set<std::string> nowhere;
  return finish(Inventory::Look(), Declared::AsBefore, &nowhere, executor);
}

}  // namespace postern::certs
