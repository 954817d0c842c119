// BoringSSL's error queue. It belongs to the thread, so an entry left behind is blamed on the next connection: every
// call that can fail is followed by drain_errors().
#pragma once

#include <string>

namespace postern::tls {

/// Empties the queue. What its first entry said, in lower case with spaces, as "no shared cipher"; an entry of the SSL
/// layer goes before those of what it is built on ("bad decrypt"). Empty when there was none.
std::string drain_errors();

}  // namespace postern::tls
