#define CATCH_CONFIG_MAIN  // so it is first in its library, whose sources share a compilation
#include <catch2/catch.hpp>
