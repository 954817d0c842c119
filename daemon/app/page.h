// What the page of the admin listener shows: made of what `postern status`, `certs` and `sni` show, and of bounded size
// whatever the configuration and the senders are.
#pragma once

#include <functional>

#include "control/protocol.h"
#include "daemon/app/status.h"

namespace postern::app {

/// `reply` is called on the control loop, when every worker has answered: with a PageReply, or an ErrorReply.
void answer_with_page(const StatusSources& sources, const control::PageRequest& request,
                      std::function<void(control::Reply)> reply);

}  // namespace postern::app
