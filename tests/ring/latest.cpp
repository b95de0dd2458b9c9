#include <belfry/ring/latest.hpp>

#include "support/raw_ring.hpp"

#include <atomic>
#include <thread>

using namespace belfry;
using namespace belfry::test;

namespace {

/// Whole if all its numbers are the same. Its size is no multiple of a word.
struct block_of_numbers {
  std::array<std::uint32_t, 33> numbers{};

  static block_of_numbers of(std::uint32_t n) {
    block_of_numbers b;
    for (std::uint32_t& each : b.numbers) each = n++;
    return b;
  }
  bool whole() const {
    for (std::uint32_t i = 0; i != numbers.size(); ++i) {
      if (numbers[i] != numbers[0] + i) return false;
    }
    return true;
  }
};

using newest = latest<block_of_numbers>;

struct raw_latest : raw_ring<newest> {
  layout::latest_control& control() {
    return *reinterpret_cast<layout::latest_control*>(memory.at);
  }
  std::uint64_t* value_word(std::uint64_t version, std::size_t i) {
    const std::size_t words = (sizeof(block_of_numbers) + 7) / 8;
    return reinterpret_cast<std::uint64_t*>(memory.at + sizeof(layout::latest_control)) +
        version % layout::latest_control::places * words + i;
  }
};

}  // namespace

TEST_CASE("latest gives the newest value, once to each consumer", "[latest]") {
  raw_latest ring;
  auto writer = ring.writer();
  auto first = ring.reader();
  auto second = ring.reader();
  block_of_numbers value = block_of_numbers::of(99);

  CHECK(ring.drained());
  CHECK(first.pop(value) == attempt::would_block);
  CHECK_FALSE(first.readable());
  CHECK(value.numbers[0] == 99);
  for (std::uint32_t n = 1; n <= 10; ++n) {
    CHECK(writer.writable());
    CHECK(writer.push(block_of_numbers::of(n)) == attempt::done);
  }
  CHECK_FALSE(ring.drained());
  CHECK(writer.size() == 1);
  CHECK(first.size() == 1);
  CHECK(first.pop(value) == attempt::done);
  CHECK(value.numbers[0] == 10);
  CHECK(first.pop(value) == attempt::would_block);
  CHECK(first.size() == 0);
  CHECK(writer.size() == 0);
  CHECK(ring.drained());
  CHECK(second.readable());
  CHECK(second.pop(value) == attempt::done);
  CHECK(value.numbers[0] == 10);
  auto late = ring.reader();
  CHECK(late.pop(value) == attempt::done);
  CHECK(value.numbers[0] == 10);
}

TEST_CASE("latest keeps the last value of a batch", "[latest]") {
  raw_latest ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  const std::array<block_of_numbers, 3> three{block_of_numbers::of(1), block_of_numbers::of(2),
                                              block_of_numbers::of(3)};
  std::size_t n = 99;
  CHECK(writer.push_n({}, n) == attempt::done);
  CHECK(n == 0);
  CHECK(writer.push_n(three, n) == attempt::done);
  CHECK(n == 3);
  std::array<block_of_numbers, 2> out;
  CHECK(reader.pop_n(out, n) == attempt::would_block);
  CHECK(n == 1);
  CHECK(out[0].numbers[0] == 3);
  CHECK(reader.pop_n(out, n) == attempt::would_block);
  CHECK(n == 0);
}

TEST_CASE("a value half written by a dead writer is never received", "[latest]") {
  raw_latest ring;
  auto reader = ring.reader();
  block_of_numbers value;
  for (std::uint32_t n = 1; n != 20; ++n) {
    auto writer = ring.writer();
    CHECK(writer.push(block_of_numbers::of(n)) == attempt::done);
    // The next writer dies while it writes.
    const std::uint64_t next = ring.control().version + 1;
    for (std::size_t i = 0; i != n % 17; ++i) *ring.value_word(next, i) = ~std::uint64_t{0};
    auto another = ring.reader();
    for (newest::reader* r : {&reader, &another}) {
      CHECK(r->pop(value) == attempt::done);
      CHECK(value.numbers[0] == n);
      CHECK(value.whole());
    }
  }
}

TEST_CASE("a version that goes back makes latest corrupted", "[latest]") {
  raw_latest ring;
  auto writer = ring.writer();
  auto reader = ring.reader();
  block_of_numbers value;
  CHECK(writer.push(value) == attempt::done);
  CHECK(reader.pop(value) == attempt::done);
  ring.control().version = 0;
  CHECK(reader.corrupted());
  CHECK(reader.readable());  // so that no consumer sleeps on it
  CHECK(reader.pop(value) == attempt::corrupted);
}

TEST_CASE("readers of latest race its writer", "[latest]") {
  raw_latest ring;
  const std::uint32_t last = static_cast<std::uint32_t>(often(1'000'000));
  std::atomic<int> torn{0};
  std::atomic<int> backwards{0};
  {
    std::vector<std::jthread> readers;
    for (int i = 0; i != 3; ++i) {
      readers.emplace_back([&] {
        auto reader = ring.reader();
        std::uint32_t seen = 0;
        while (seen != last) {
          block_of_numbers value;
          if (reader.pop(value) != attempt::done) {
            std::this_thread::yield();
            continue;
          }
          if (!value.whole()) ++torn;
          if (value.numbers[0] <= seen) ++backwards;
          seen = value.numbers[0];
        }
      });
    }
    auto writer = ring.writer();
    for (std::uint32_t n = 1; n <= last; ++n) writer.push(block_of_numbers::of(n));
  }
  CHECK(torn == 0);
  CHECK(backwards == 0);
}

TEST_CASE("the traits of latest", "[latest]") {
  CHECK(newest::traits.kind == layout::ring_kind::latest);
  CHECK(newest::traits.most.producers == 1);
  CHECK(newest::traits.seats_for(64).consumers == 63);
  CHECK(newest::traits.capacity(0) == 1);
  CHECK(newest::traits.value_bytes == 132);
  CHECK(newest::traits.layout({.capacity = 1, .participants = 64}).bytes == 128 + 8 * 136);
}

TEST_CASE("a channel of latest: each of many consumers receives only the newest version", "[latest]") {
  using news = channel<latest<tick>>;
  net::io_context io;
  const std::string name = unique_name("latest");
  news::producer tx(io, name);
  std::vector<news::consumer> consumers;
  for (int i = 0; i != 5; ++i) consumers.emplace_back(io, name);
  std::vector<told> answers(consumers.size());
  for (std::size_t i = 0; i != consumers.size(); ++i) consumers[i].async_receive(answers[i].receiver());
  settle(io);
  for (const told& t : answers) CHECK(t.calls == 0);

  const auto all_called = [&](int times) {
    return comes_true(io, [&] { return std::ranges::all_of(answers, [&](const told& t) { return t.calls == times; }); });
  };
  CHECK(tx.try_send({1, 0.5}));
  CHECK(all_called(1));
  for (const told& t : answers) {
    CHECK(t.value == 1);
  }
  for (std::uint64_t n = 2; n <= 12; ++n) CHECK(tx.try_send({n, 0.5}));
  for (std::size_t i = 0; i != consumers.size(); ++i) consumers[i].async_receive(answers[i].receiver());
  CHECK(all_called(2));
  for (const told& t : answers) {
    CHECK(t.value == 12);
  }
  news::consumer late(io, name);
  CHECK(late.try_receive()->seq == 12);
  CHECK_FALSE(late.try_receive());

  late.async_receive(answers[0].receiver());
  answers[0] = {};
  tx.close();
  CHECK(comes_true(io, [&] { return answers[0].calls == 1; }));
  CHECK(answers[0].ec == errc::closed);
  news::producer successor(io, name);
  CHECK(successor.try_send({13, 0.5}));
  CHECK(late.try_receive()->seq == 13);

  error_code ec;
  news::producer rival(io, name, ec);
  CHECK(ec == errc::role_taken);
  late.close();
  consumers.clear();
  successor.close();
  CHECK(files_of(name) == 0);
}

TEST_CASE("a value that no consumer has received keeps the segment of latest", "[latest]") {
  using news = channel<latest<tick>>;
  net::io_context io;
  const std::string name = unique_name("kept");
  news::producer(io, name).try_send({7, 0.5});
  CHECK(files_of(name) == 1);
  {
    news::consumer rx(io, name);
    tick t{};
    CHECK_FALSE(rx.receive(t, std::chrono::seconds(10)));
    CHECK(t.seq == 7);
    CHECK(rx.receive(t, std::chrono::seconds(10)) == errc::closed);
  }
  CHECK(files_of(name) == 0);
}

TEST_CASE("latest has as many consumers as slots", "[latest]") {
  using news = channel<latest<tick>>;
  net::io_context io;
  const std::string name = unique_name("crowd");
  std::vector<news::consumer> consumers;
  for (int i = 0; i != 63; ++i) consumers.emplace_back(io, name);
  error_code ec;
  news::consumer one_more(io, name, ec);
  CHECK(ec == errc::roster_full);
  news::producer tx(io, name);
  CHECK(tx.try_send({1, 0.5}));
  for (news::consumer& rx : consumers) CHECK(rx.try_receive()->seq == 1);
  consumers.pop_back();
  news::consumer another(io, name);
  CHECK(another.try_receive()->seq == 1);
}
