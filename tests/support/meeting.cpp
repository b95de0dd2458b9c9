#include "meeting.hpp"

#include <cstdlib>
#include <string_view>

namespace belfry::test {
namespace {

/// Constructed before any test: a child that a test forks uses its parent's.
struct place {
  place() {
    const char* const said = std::getenv("BELFRY_TEST_MEET");
    const std::string_view text = said != nullptr ? said : "";
    if (text == "handles") way = meeting::by_handles;
    if (text == "manager") {
      way = meeting::by_manager;
      manager.start();
    }
  }

  meeting way = meeting::by_name;
  shared_memory_manager manager;
};

place& chosen() {
  static place p;
  return p;
}

[[maybe_unused]] const place& before_main = chosen();

}  // namespace

meeting way_to_meet() { return chosen().way; }
const shared_memory_manager& meeting_manager() { return chosen().manager; }

}  // namespace belfry::test
