#include "delivery/balance.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "base/text.h"

namespace postern::delivery {

namespace {

/// FNV-1a with a final mix: it must be the same in every process and version, since where a user's mail goes depends on
/// it. Nothing about it is secret.
std::uint64_t weight(std::string_view target, std::string_view key) {
  std::uint64_t hash = 14695981039346656037ull;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  };
  add(target);
  add(std::string_view("\0", 1));
  add(key);
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdull;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53ull;
  return hash ^ (hash >> 33);
}

}  // namespace

std::string hash_key(const smtp::ForwardPath& to) {
  const std::string_view local = to.mailbox.local_part;
  // A plus in front is no separator.
  const auto plus = local.find('+', 1);
  return to_lower_ascii(local.substr(0, plus)) + "@" + to_lower_ascii(to.mailbox.domain);
}

std::vector<std::size_t> order_of_targets(Balance balance, std::string_view key, const std::vector<std::string>& names,
                                          const std::vector<std::size_t>& busy, std::size_t turn) {
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (names.size() < 2) return order;
  if (balance == Balance::Least) {
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(turn % order.size()), order.end());
    std::stable_sort(order.begin(), order.end(), [&busy](std::size_t a, std::size_t b) { return busy[a] < busy[b]; });
  }
  if (balance == Balance::Hash) {
    // Rendezvous hashing: a target that comes or goes moves only its own recipients.
    std::vector<std::uint64_t> weights;
    for (const auto& name : names) weights.push_back(weight(name, key));
    std::stable_sort(order.begin(), order.end(),
                     [&weights](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
  }
  return order;
}

}  // namespace postern::delivery
