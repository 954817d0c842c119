// Whether a request means this machine by the name that it was sent to.
//
// A web page can give its own name the address 127.0.0.1 and so make the browser of whoever reads it talk to servers that
// answer on loopback only ("DNS rebinding"). Its requests still say its own name in Host.
#pragma once

#include <string_view>

namespace postern::http {

/// `host` is the value of Host, with or without a port: "localhost" or a name below it, or an address of loopback. Also
/// when there is none, since every browser sends one.
bool means_loopback(std::string_view host);

}  // namespace postern::http
