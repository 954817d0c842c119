// All listening sockets of this process: those that were passed to it, and those that it makes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "daemon/app/listeners.h"
#include "daemon/app/service_manager.h"
#include "daemon/session/journal.h"
#include "daemon/uv/socket.h"

namespace postern::app {

class ListeningSockets {
 public:
  /// What a successor gets.
  struct Passed {
    int descriptor = -1;
    std::string name;  ///< one without a colon: see LISTEN_FDNAMES
  };

  /// Takes those that were passed. `from`: by whom; a posternd's unix sockets become ours to remove.
  enum class From { ServiceManager, Predecessor };
  Result<void> take_passed(From from);

  /// See app::bind_listeners.
  tl::expected<std::vector<std::vector<uv::Bound>>, std::vector<Error>> bind(const std::vector<Endpoint>& addresses,
                                                                             std::size_t workers);
  Result<uv::Bound> bind_path(const std::string& path);
  /// For one reader alone, without SO_REUSEPORT.
  Result<uv::Bound> bind_alone(const Endpoint& address);

  /// A sender that connects to one that nobody has asked for would wait for a greeting for ever: these are closed.
  void drop_unused(session::Journal& journal);

  /// Of unix sockets that are ours to remove.
  const std::vector<std::string>& own_paths() const { return own_paths_; }
  void remove_paths();
  /// They are somebody else's from here on.
  void leave_paths() { own_paths_.clear(); }

  /// As long as nobody has closed them.
  const std::vector<Passed>& all() const { return all_; }

 private:
  uv::Bound keep(uv::Bound bound, std::string name);

  From from_ = From::ServiceManager;
  std::vector<InheritedSocket> unused_;  // passed, and asked for by nobody yet
  std::vector<std::string> own_paths_;
  std::vector<Passed> all_;
};

}  // namespace postern::app
