#include "tls/client_hello.h"

#include "tests/support/catch.h"

using namespace postern;
using namespace postern::tls;
