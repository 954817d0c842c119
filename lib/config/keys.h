// Every key of the configuration: unknown ones are found by this table, and man/postern.toml.5 is tested against it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::config {

enum class Change {
  Reload,   ///< a reload is enough
  Restart,  ///< takes effect when posternd starts
};

struct Key {
  std::string_view name;     ///< with its section: "limits.recipients"; ADDRESS stands for any local address
  std::string_view type;
  std::string_view fallback; ///< the value when the key is absent, as it would be written, or in words
  Change change;
  std::string_view meaning;
};

const std::vector<Key>& keys();

enum class Standing { Key, Section, Unknown };

/// What `name` (as in Key::name, with any address for ADDRESS) is. A key that holds a table or a value, such as
/// `backend.timeout`, is a Section here.
Standing standing_of(std::string_view name);

/// For an unknown key: a sentence that says which known one was perhaps meant; empty when none is near.
std::string suggestion_for(std::string_view name);

}  // namespace postern::config
