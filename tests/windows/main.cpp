// A body of a test, or all tests.
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"
#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_session.hpp>
#endif

#include "started.hpp"

#include <cstdlib>

int main(int argc, char** argv) {
  const int status = belfry::test::run_body(argc, argv);
  if (status >= 0) return status;
  belfry::test::watch_over_this_process(std::getenv("BELFRY_TEST_ALL_ROUNDS") != nullptr ? 3590 : 890);
  return Catch::Session().run(argc, argv);
}
