// Writers of a latest that are killed at any point: what its readers receive is always whole, and never older
// than what they received before.
#include "segment_file.hpp"
#include "traffic.hpp"

using namespace belfry;
using namespace belfry::test;

namespace {

struct state {
  std::array<std::uint64_t, 100> numbers{};
};
using states = channel<latest<state>>;

constexpr int dead_writers = sanitized ? 60 : 300;

/// Until it has received the last value, after which none will be written.
void follow(const states::consumer::value_type& last, states::consumer& rx, how way,
            std::atomic<std::uint64_t>& deaths) {
  std::uint64_t seen = 0;
  net::io_context unused;
  while (seen != last.numbers[0]) {
    state s;
    error_code ec;
    if (way == how::blocking) {
      ec = rx.receive(s);
    } else {
      const auto got = rx.try_receive();
      if (got) s = *got;
      if (!got) ec = poll_for(rx);
      if (!got && !ec) continue;
    }
    if (ec == errc::peer_died) {
      deaths.fetch_add(1);
      continue;
    }
    EXPECT_EQ(ec, error_code());
    for (const std::uint64_t n : s.numbers) EXPECT_EQ(n, s.numbers[0]);
    EXPECT(s.numbers[0] > seen);
    seen = s.numbers[0];
  }
}

}  // namespace

TEST_CASE("writers of latest are killed, one after the other", "[latest-killed]") {
  const watchdog dog;
  const bool by_name = GENERATE(true, false);
  const std::string name = unique_name("latest-killed");
  const nothing_left check(name);
  const channel_handles handles = by_name ? channel_handles() : states::make_handles();
  const shared<std::atomic<std::uint64_t>> deaths;
  state last;
  last.numbers.fill(~std::uint64_t{0});
  const event joined;

  std::vector<child> readers;
  for (const how way : {how::blocking, how::polled, how::blocking}) {
    readers.emplace_back([&, way] {
      net::io_context io;
      auto rx = by_name ? states::consumer(io, name) : states::consumer(io, handles);
      joined.set();
      follow(last, rx, way, *deaths);
    });
  }
  for (std::size_t i = 0; i != readers.size(); ++i) joined.wait();

  const shared<std::atomic<std::uint64_t>> written;
  const auto write = [&](std::uint64_t count) {
    net::io_context io;
    auto tx = by_name ? states::producer(io, name) : states::producer(io, handles);
    for (; count != 0; --count) {
      state s;
      s.numbers.fill(written->fetch_add(1) + 1);
      EXPECT(tx.try_send(s));
    }
    EXPECT(tx.try_send(last));
    tx.close();
  };
  std::mt19937 random(random_seed());
  for (int i = 0; i != dead_writers; ++i) {
    const std::uint64_t before = written->load();
    child writer([&] { write(~std::uint64_t{0}); });
    await([&] { return written->load() > before; });
    a_while(random, 8);
    writer.kill_unreaped();
  }
  child writer([&] { write(10); });
  CHECK(writer.wait() == 0);
  for (child& reader : readers) CHECK(reader.wait() == 0);
  CHECK(*deaths > 0);
}
