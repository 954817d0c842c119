// What one certificate map has that another has not, and what became worse.
#pragma once

#include <string>
#include <vector>

#include "base/instant.h"
#include "certs/name_list.h"
#include "certs/snapshot.h"

namespace postern::certs {

/// A name whose certificate is another one now, and in some respect not as good as the one before.
struct Worse {
  std::string name;
  std::string why;  ///< "it ends 2026-01-02T00:00:00Z, 30 days before the one that it replaces"

  friend bool operator==(const Worse&, const Worse&) = default;
};

/// In no order. What is worse is renewed, too.
struct Changes {
  NameList added;
  NameList removed;
  NameList renewed;  ///< names whose certificate is another one now
  std::vector<Worse> worse;

  bool empty() const { return added.empty() && removed.empty() && renewed.empty(); }
};

/// Notes in `changes` what happened to the name `key`. An entry that is empty stands for none.
void note_change(std::string_view key, const Entry& before, const Entry& after, Changes& changes);

/// A map must not go live by itself when it lacks more than `max_loss` percent of the `names` that were there, and at
/// least `loss_names_min`: a half-mounted directory must not empty a server.
constexpr std::size_t loss_names_min = 20;
bool loses_too_much(std::size_t removed, std::size_t names, unsigned max_loss);

/// All the changes, by a walk through both maps.
Changes difference(const Snapshot& before, const Snapshot& after);

}  // namespace postern::certs
