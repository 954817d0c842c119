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
#include <openssl/digest.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
