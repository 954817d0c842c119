// In which order the targets of a backend are tried for one task. Decisions only.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "delivery/settings.h"
#include "smtp/address.h"

namespace postern::delivery {

/// What Balance::Hash goes by: the address without `+detail`, in lower case, so that a user's mail stays together.
std::string hash_key(const smtp::ForwardPath& to);

/// Numbers of targets, first choice first. `names` are theirs, `busy` the transactions under way at each; `turn` counts
/// up from task to task, so that equals take turns.
std::vector<std::size_t> order_of_targets(Balance balance, std::string_view key, const std::vector<std::string>& names,
                                          const std::vector<std::size_t>& busy, std::size_t turn);

}  // namespace postern::delivery
