// Which service extensions a server session offers. A value only; who may offer what is the caller's decision.
#pragma once

namespace postern::smtp {

/// What the EHLO answer offers besides PIPELINING, SIZE, 8BITMIME, ENHANCEDSTATUSCODES and STARTTLS. Off by default: an
/// extension is offered only where what stands behind the session can carry it (DESIGN section 3).
struct Extensions {
  bool smtputf8 = false;    ///< RFC 6531
  bool chunking = false;    ///< RFC 3030, without BINARYMIME
  // Later: BINARYMIME, DSN, PRDR, LIMITS, REQUIRETLS.
};

}  // namespace postern::smtp
