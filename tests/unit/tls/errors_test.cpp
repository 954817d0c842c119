#include "tls/errors.h"

#include <openssl/cipher.h>

#include "tests/support/catch.h"
#include "tls/compat.h"

using namespace postern::tls;

TEST_CASE("an entry of the SSL layer tells more than one of what it is built on", "[errors]") {
  OPENSSL_PUT_ERROR(CIPHER, CIPHER_R_BAD_DECRYPT);
  OPENSSL_PUT_ERROR(SSL, SSL_R_BAD_ALERT);
  CHECK(drain_errors() == "bad alert");
}

TEST_CASE("the first entry is the reason, and the queue is empty afterwards", "[errors]") {
  CHECK(drain_errors().empty());
  OPENSSL_PUT_ERROR(SSL, SSL_R_NO_SHARED_CIPHER);
  OPENSSL_PUT_ERROR(SSL, SSL_R_UNEXPECTED_MESSAGE);
  CHECK(drain_errors() == "no shared cipher");
  CHECK(ERR_peek_error() == 0);
  CHECK(drain_errors().empty());
}
