#include "test.hpp"

#include "effort.hpp"

namespace belfry::test {

bool run(net::io_context& io, std::chrono::seconds watchdog) {
  io.restart();
  io.run_for(slowness * watchdog);
  return io.stopped();
}

nothing_left::nothing_left(std::string name)
    : name_(std::move(name)), descriptors_(open_descriptors()) {}

nothing_left::~nothing_left() {
  CHECK(files_of(name_) == 0);
  CHECK(open_descriptors() == descriptors_);
}

}  // namespace belfry::test
