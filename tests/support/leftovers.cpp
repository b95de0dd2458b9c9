// A test that leaves files in /dev/shm or open descriptors behind makes the program fail.
#define BELFRY_TEST_LISTENS  // hence not with the precompiled header
#include "test.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

#include <unistd.h>

namespace {

class leftovers : public belfry::test::test_listener {
 public:
  using belfry::test::test_listener::test_listener;

  void testCaseStarting(const Catch::TestCaseInfo& test) override {
    name_ = test.name;
    descriptors_ = belfry::test::open_descriptors();
  }

  void testCaseEnded(const Catch::TestCaseStats&) override {
    const std::size_t files =
        belfry::test::files_of("belfry-test-" + std::to_string(::getpid()) + '-');
    const std::size_t descriptors = belfry::test::open_descriptors();
    if (files == 0 && descriptors == descriptors_) return;
    std::fprintf(stderr, "\n\"%s\" left %zu files in /dev/shm; descriptors: %zu before, %zu after\n",
                 name_.c_str(), files, descriptors_, descriptors);
    // A listener cannot fail a test, so the program fails after its report.
    if (!failing_) std::atexit([] { std::_Exit(1); });
    failing_ = true;
  }

 private:
  std::string name_;
  std::size_t descriptors_ = 0;
  bool failing_ = false;
};

CATCH_REGISTER_LISTENER(leftovers)

}  // namespace
