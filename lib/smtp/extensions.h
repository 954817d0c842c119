// Which service extensions a server session offers. A value only; who may offer what is the caller's decision.
#pragma once

namespace postern::smtp {

/// What the EHLO answer offers besides PIPELINING, SIZE, 8BITMIME, ENHANCEDSTATUSCODES and STARTTLS. Off by default: an
/// extension is offered only where what stands behind the session can carry it (DESIGN section 3).
struct Extensions {
  bool smtputf8 = false;    ///< RFC 6531
  bool chunking = false;    ///< RFC 3030: a message that comes by BDAT is the same text as one that comes by DATA
  bool binarymime = false;  ///< RFC 3030 section 3; only with chunking. Such a message may go on by BDAT only
  bool dsn = false;         ///< RFC 3461
  bool prdr = false;        ///< draft-hall-prdr; not in LMTP, which always answers for each recipient
  bool limits = false;      ///< RFC 9422: RCPTMAX and MAILMAX out of ServerLimits
  bool requiretls = false;  ///< RFC 8689; offered under TLS only

  friend bool operator==(const Extensions&, const Extensions&) = default;
};

}  // namespace postern::smtp
