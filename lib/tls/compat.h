// The only file that knows that BoringSSL has two vintages: Debian's android-libboringssl-dev (API version 17) and
// today's upstream. Everything else includes BoringSSL through this header and uses what both have.
#pragma once

#include <openssl/base.h>

#if !defined(OPENSSL_IS_BORINGSSL)
#error "postern needs BoringSSL: its symbols collide with OpenSSL's, and SNI selection uses BoringSSL's early callback"
#endif

#include <openssl/bio.h>
#include <openssl/base64.h>
#include <openssl/bytestring.h>
#include <openssl/ec.h>
#include <openssl/ec_key.h>
#include <openssl/cipher.h>
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace postern::tls {

/// Key exchange groups in order of preference, as SSL_CTX_set1_curves_list() reads them.
#if defined(SSL_GROUP_X25519_MLKEM768)
inline constexpr const char* preferred_groups = "X25519MLKEM768:X25519:P-256:P-384";
#else
inline constexpr const char* preferred_groups = "X25519:P-256:P-384";
#endif

}  // namespace postern::tls
