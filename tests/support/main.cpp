// Catch2 3 has main() in a library of its own; version 2 is one header, compiled here.
#if !__has_include(<catch2/catch_test_macros.hpp>)
#define CATCH_CONFIG_MAIN  // so it is first in its library, whose sources share a compilation
#endif
#include "catch.hpp"
