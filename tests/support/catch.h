// Debian 12 has Catch2 v2 (one header), Debian 13 has v3: the difference is here.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
