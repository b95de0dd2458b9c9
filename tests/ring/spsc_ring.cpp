#include <belfry/ring/spsc_ring.hpp>

#include "support/raw_ring.hpp"

#include <deque>
#include <random>

using namespace belfry;
using namespace belfry::test;

TEST_CASE("batches send and receive as many values as possible", "[spsc_ring]") {
  raw_ring<spsc_ring<int, 5>> ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  const std::array<int, 4> values{1, 2, 3, 4};
  std::size_t n = 99;
  CHECK(writer.push_n(values, n) == attempt::done);
  CHECK(n == 4);
  CHECK(writer.push_n(values, n) == attempt::would_block);
  CHECK(n == 1);
  CHECK(writer.push_n(values, n) == attempt::would_block);
  CHECK(n == 0);
  CHECK(writer.push_n({}, n) == attempt::done);
  CHECK(n == 0);

  std::array<int, 3> out{};
  CHECK(reader.pop_n(out, n) == attempt::done);
  CHECK(n == 3);
  CHECK(out == std::array{1, 2, 3});
  CHECK(reader.pop_n(out, n) == attempt::would_block);
  CHECK(n == 2);
  CHECK(out == std::array{4, 1, 3});
  CHECK(reader.pop_n(out, n) == attempt::would_block);
  CHECK(n == 0);
}

TEST_CASE("the traits of an spsc_ring", "[spsc_ring]") {
  using ring = spsc_ring<tick, 64>;
  CHECK(ring::traits.kind == layout::ring_kind::spsc);
  CHECK(ring::traits.most.producers == 1);
  CHECK(ring::traits.most.consumers == 1);
  CHECK(ring::traits.most.all() == 2);
  CHECK(ring::traits.value_bytes == sizeof(tick));
  CHECK(ring::traits.value_align == alignof(tick));
  CHECK(ring::traits.type_fingerprint == type_fingerprint<tick>());
  CHECK(ring::traits.capacity(0) == 64);
  CHECK(ring::traits.capacity(7) == 64);  // the type fixes the capacity
  CHECK(ring::traits.layout({.capacity = 64, .participants = 2, .offset = 576}).mirrored == 0);
  CHECK(ring::traits.align >= 64);
  CHECK(ring::traits.abi() != 0);
  CHECK(ring::traits.abi() != spsc_ring<tick, 128>::traits.abi());

  struct alignas(128) sparse {
    int a;
  };
  CHECK(spsc_ring<sparse, 4>::traits.align >= 128);
  CHECK(spsc_ring<sparse, 4>::traits.value_align == 128);
}

TEST_CASE("the layout of Boost's queue is found by observing it", "[spsc_ring]") {
  using belfry::detail::ask_queue;
  struct alignas(128) wide {
    char text[300];
  };
  struct never_zero {
    std::uint64_t a = 1, b = 2;
  };
  CHECK(ask_queue<std::uint8_t, 1>().known);
  CHECK(ask_queue<std::uint8_t, 12>().known);
  CHECK(ask_queue<std::uint16_t, 3>().known);
  CHECK(ask_queue<tick, 1>().known);
  CHECK(ask_queue<tick, 4096>().known);
  CHECK(ask_queue<std::array<char, 7>, 100>().known);
  CHECK(ask_queue<wide, 2>().known);
  CHECK(ask_queue<wide, 1000>().known);
  CHECK(ask_queue<never_zero, 5>().known);
  CHECK(spsc_ring<tick, 64>::traits.library_layout() != 0);
}

TEMPLATE_TEST_CASE_SIG("spsc_ring and Boost's queue can take turns on the same memory",
                       "[spsc_ring]", ((std::size_t N), N), 1, 2, 3, 4, 5, 64) {
  raw_ring<spsc_ring<std::uint32_t, N>> ring;
  auto& queue = *reinterpret_cast<belfry::detail::boost_queue<std::uint32_t, N>*>(ring.memory.at);
  std::uint32_t sent = 0;
  std::uint32_t received = 0;
  bool same = true;
  for (std::size_t round = 0; round != 5 * (N + 1); ++round) {
    const std::size_t count = 1 + round % N;
    for (std::size_t i = 0; i != count; ++i) {
      const bool through_queue = (round + i) % 2 == 0;
      same = same && (through_queue ? queue.push(sent) : ring.writer().push(sent) == attempt::done);
      ++sent;
    }
    same = same && queue.read_available() == count && ring.reader().size() == count;
    for (std::size_t i = 0; i != count; ++i) {
      std::uint32_t value = 0;
      const bool through_queue = (round + i) % 3 == 0;
      same = same && (through_queue ? queue.pop(value) : ring.reader().pop(value) == attempt::done);
      same = same && value == received++;
    }
  }
  CHECK(same);
  CHECK(received == sent);
}

TEMPLATE_TEST_CASE_SIG("an spsc_ring behaves like a deque", "[spsc_ring]", ((std::size_t N), N), 1, 2, 7, 64) {
  raw_ring<spsc_ring<std::uint64_t, N>> ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  std::deque<std::uint64_t> model;
  std::mt19937_64 random(N);
  std::uint64_t next = 0;
  bool same = true;
  for (int i = 0; i != often(300000) && same; ++i) {
    std::array<std::uint64_t, 10> batch{};
    const std::span some(batch.data(), random() % (batch.size() + 1));
    std::size_t n = 0;
    switch (random() % 6) {
      case 0: {
        const bool room = model.size() < N;
        same = writer.writable() == room && (writer.push(next) == attempt::done) == room;
        if (room) model.push_back(next++);
        break;
      }
      case 1: {
        for (std::uint64_t& v : some) v = next + static_cast<std::uint64_t>(&v - some.data());
        const std::size_t fits = std::min(some.size(), N - model.size());
        same = (writer.push_n(some, n) == attempt::done) == (fits == some.size()) && n == fits;
        for (std::size_t k = 0; k != n; ++k) model.push_back(next++);
        break;
      }
      case 2: {
        std::uint64_t value = 0;
        same = reader.readable() != model.empty() &&
            (reader.pop(value) == attempt::done) != model.empty();
        if (!model.empty()) {
          same = same && value == model.front();
          model.pop_front();
        }
        break;
      }
      case 3: {
        const std::size_t there = std::min(some.size(), model.size());
        same = (reader.pop_n(some, n) == attempt::done) == (there == some.size()) && n == there;
        for (std::size_t k = 0; k != n; ++k) {
          same = same && some[k] == model.front();
          model.pop_front();
        }
        break;
      }
      case 4: writer = ring.writer(); break;
      case 5: reader = ring.reader(); break;
    }
    same = same && reader.size() == model.size() && writer.size() == model.size();
    if (!same) FAIL("different after " << i << " steps");
  }
  CHECK(same);
}
