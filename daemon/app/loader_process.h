// The loader process: a child that may read every file and does nothing else, so that posternd can give up root's rights
// and still read keys that only root can read. It knows by itself what it may show: it reads the configuration from the
// path that it was started with, and a posternd in a stranger's hands can ask for nothing beyond.
//
// Over a few stream sockets, as many as there are cores for it: each carries one request at a time and has a thread there.
// See loader_messages.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "certs/loader.h"
#include "config/config.h"
#include "daemon/app/rights.h"

namespace postern::app {

/// Its files, for this process; callable from any thread. Those that ask at the same time are answered at the same time.
class LoaderFiles : public certs::FileSource {
 public:
  /// What it may read is read from the configuration anew. Returns a sentence for each place that it cannot read
  /// because its sandbox was made before.
  virtual std::vector<std::string> configuration_changed() = 0;
};

/// Forks: this process must have one thread only, and be able to read every file. `who`: whom the child becomes; nobody
/// else than it is. The child ends when the LoaderFiles and all their copies are gone.
Result<std::shared_ptr<LoaderFiles>> start_loader_process(const std::string& config_path, const config::Config& config,
                                                          const std::optional<RunAs>& who);

}  // namespace postern::app
