#include "daemon/session/identify.h"

#include <string_view>
#include <vector>

namespace postern::session {

std::string identify_command(delivery::Identity identity, const smtp::PeerExtensions& offered,
                             const proxy::ClientIdentity& client) {
  using delivery::Identity;
  if (identity == Identity::None || !client.address) return {};
  const auto views = [](const std::vector<std::string>& names) {
    return std::vector<std::string_view>(names.begin(), names.end());
  };
  if (identity != Identity::Xforward && !offered.xclient.empty()) {
    return proxy::xclient_command(client, views(offered.xclient)).value_or("");
  }
  if (identity != Identity::Xclient && !offered.xforward.empty()) {
    return proxy::xforward_command(client, views(offered.xforward)).value_or("");
  }
  return {};
}

}  // namespace postern::session
