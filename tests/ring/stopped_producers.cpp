// Producers of a work_ring that are killed or stopped in the middle of a batch: where they read a value from memory that
// cannot be read.
#include "support/process.hpp"
#include "support/raw_ring.hpp"

#include <belfry/ring/work_ring.hpp>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

using namespace belfry;
using namespace belfry::test;

// Each is killed when it has claimed places for its batch, and has written nothing.
TEST_CASE("producers that are stopped in a batch leave a place for the last one", "[work_ring]") {
  const std::size_t participants = GENERATE(2u, 8u, 64u, 250u);
  const watchdog dog;
  const raw_ring<work_ring<std::uint64_t, 256>> ring(0, participants);
  const std::size_t producers = participants / 2;
  void* const nothing = ::mmap(nullptr, 256 * sizeof(std::uint64_t), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(nothing != MAP_FAILED);
  for (std::size_t slot = 1; slot != producers; ++slot) {
    child producer([&] {
      ::signal(SIGSEGV, SIG_DFL);
      std::size_t n = 0;
      ring.writer(slot).push_n(std::span(static_cast<const std::uint64_t*>(nothing), 256), n);
    });
    REQUIRE(producer.wait() == 128 + SIGSEGV);
  }
  ::munmap(nothing, 256 * sizeof(std::uint64_t));
  auto tx = ring.writer(0);
  CHECK(tx.push(7) == attempt::done);
  for (std::size_t slot = 1; slot != producers; ++slot) ring.recover(slot);
  auto rx = ring.reader(producers);
  std::uint64_t value = 0;
  CHECK(rx.pop(value) == attempt::done);
  CHECK(value == 7);
  CHECK(rx.pop(value) == attempt::would_block);
  CHECK(ring.drained());
}

namespace {

std::atomic<int> stopped{0};
std::atomic<bool> go_on{false};

void stop_here(int) {
  stopped.fetch_add(1);
  while (!go_on.load()) ::usleep(1000);
}

}  // namespace

// Each of these producers is stopped in the middle of a batch: when it reads its first value, which is in memory that
// cannot be read yet.
TEST_CASE("some of 125 producers that are stopped with a batch hold up no other", "[work_ring]") {
  constexpr std::size_t room = 1024;
  constexpr std::size_t producers = work_ring<std::uint64_t, room>::traits.seats_for(250).producers;
  constexpr std::size_t stopping = 64;
  static_assert(stopping < producers);
  raw_ring<work_ring<std::uint64_t, room>> ring;
  ring.memory.participants = 250;
  void* const hidden = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(hidden != MAP_FAILED);
  const std::span batch(static_cast<const std::uint64_t*>(hidden), 32);
  struct sigaction before {};
  struct sigaction action {};
  action.sa_handler = stop_here;
  REQUIRE(::sigaction(SIGSEGV, &action, &before) == 0);
  attempt answer;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i != stopping; ++i) {
      threads.emplace_back([&, i] {
        std::size_t pushed = 0;
        auto w = ring.writer(i);
        w.push_n(batch, pushed);
      });
    }
    // A producer that finds no place is not stopped, and returns.
    for (int i = 0; i != 200 && stopped != static_cast<int>(stopping); ++i) ::usleep(10000);
    auto w = ring.writer(producers - 1);
    answer = w.push(7);
    ::mprotect(hidden, 4096, PROT_READ);
    go_on = true;
  }
  ::sigaction(SIGSEGV, &before, nullptr);
  ::munmap(hidden, 4096);
  INFO("stopped: " << stopped);
  CHECK(answer == attempt::done);
}
