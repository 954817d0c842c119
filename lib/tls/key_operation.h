// Private-key operations outside the event loop: an RSA signature takes a millisecond and more, which no other
// connection of that loop should wait for. The Stream hands the operation out, anybody performs it anywhere (a thread, a
// process that alone has the key), and the outcome is given back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "tls/credential.h"

namespace postern::tls {

struct KeyOperation {
  enum class Kind {
    Sign,     ///< `input` is what is to be hashed and signed
    Decrypt,  ///< `input` is one RSA block, to be decrypted without looking at its padding (TLS_RSA_ suites of TLS 1.2)
  };
  Kind kind = Kind::Sign;
  std::uint16_t scheme = 0;  ///< for Sign: the TLS signature scheme (RFC 8446 section 4.2.3)
  std::string input;
  std::shared_ptr<const Credential> credential;
};

/// The signature or the decrypted block. Takes its time: not for an event loop.
Result<std::string> perform(const KeyOperation& operation);

}  // namespace postern::tls
