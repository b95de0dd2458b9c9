// One io_context, several threads, strands. Endpoints are made with the context's own executor.
#include "support/rings.hpp"

#include <random>

using namespace belfry;
using namespace belfry::test;

namespace {

/// A context that is run by several threads.
class pool {
 public:
  explicit pool(int threads) {
    for (int i = 0; i != threads; ++i) threads_.emplace_back([this] { io.run(); });
  }
  ~pool() { finish(); }
  /// Runs until nothing is pending.
  void finish() {
    work_.reset();
    threads_.clear();
  }

  net::io_context io;

 private:
  net::executor_work_guard<net::io_context::executor_type> work_ = net::make_work_guard(io);
  std::vector<std::jthread> threads_;
};

struct counts {
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> aborted{0};
  std::atomic<bool> closed{false};
};

/// A few nanoseconds each, so that two threads meet at ever different moments.
void pass_time(int rounds) {
  std::atomic<int> passed{0};
  while (passed.load() < rounds) passed.store(passed.load() + 1);
}

template <class Kit>
net::awaitable<void> send_all(typename Kit::channel::producer tx, std::uint64_t total) {
  Kit values;
  for (std::uint64_t n = 0; n != total; ++n) co_await tx.async_send(values.make(n), net::use_awaitable);
}

/// Also with cancellations now and then, on the strand.
template <class Consumer>
net::awaitable<void> receive_all(Consumer& rx, net::cancellation_signal& signal, counts& c) {
  while (!c.closed) {
    const auto [ec, v] =
        co_await rx.async_receive(net::bind_cancellation_slot(signal.slot(), use_tuple));
    if (ec == net::error::operation_aborted) {
      ++c.aborted;
    } else if (ec == errc::closed) {
      c.closed = true;
    } else if (ec || number(v) != c.received++) {
      ++c.wrong;
    }
  }
}

net::awaitable<void> cancel_now_and_then(net::cancellation_signal& signal, counts& c) {
  net::steady_timer timer(co_await net::this_coro::executor);
  while (!c.closed) {
    timer.expires_after(std::chrono::microseconds(100));
    co_await timer.async_wait(net::use_awaitable);
    signal.emit(net::cancellation_type::total);
  }
}

template <class Kit>
void stream(std::uint64_t total, bool cancelling) {
  const std::string name = unique_name("stream");
  const watchdog guard;
  counts c;
  {
    net::cancellation_signal signal;
    pool p(4);
    typename Kit::channel::producer tx(p.io, name, Kit::options());
    typename Kit::channel::consumer rx(p.io, name);
    const auto strand = net::make_strand(p.io);
    net::co_spawn(net::make_strand(p.io), send_all<Kit>(std::move(tx), total), net::detached);
    net::co_spawn(strand, receive_all(rx, signal, c), net::detached);
    if (cancelling) net::co_spawn(strand, cancel_now_and_then(signal, c), net::detached);
    p.finish();
  }
  CHECK(c.closed);
  CHECK(c.received == total);
  CHECK(c.wrong == 0);
}

}  // namespace

TEMPLATE_TEST_CASE("coroutines on strands, four threads", "[threads]", of_values, of_bytes) {
  stream<TestType>(static_cast<std::uint64_t>(often(100000)), false);
}

TEMPLATE_TEST_CASE("coroutines on strands, four threads, cancelled all the time",
                   "[threads]", of_values, of_bytes) {
  stream<TestType>(static_cast<std::uint64_t>(often(100000)), true);
}

TEMPLATE_TEST_CASE("many channels at once, four threads", "[threads]", of_values, of_bytes) {
  const std::string name = unique_name("many");
  const watchdog guard;
  constexpr std::size_t channels = 8;
  const std::uint64_t total = static_cast<std::uint64_t>(often(10000));
  std::array<counts, channels> all;
  {
    std::array<net::cancellation_signal, channels> signals;
    std::vector<typename TestType::channel::consumer> consumers;
    consumers.reserve(channels);
    pool p(4);
    for (std::size_t i = 0; i != channels; ++i) {
      const std::string each = name + '-' + std::to_string(i);
      consumers.emplace_back(p.io, each, TestType::options());
      net::co_spawn(net::make_strand(p.io),
                    send_all<TestType>(typename TestType::channel::producer(p.io, each), total),
                    net::detached);
      net::co_spawn(net::make_strand(p.io), receive_all(consumers[i], signals[i], all[i]), net::detached);
    }
    p.finish();
    consumers.clear();
  }
  for (const counts& c : all) {
    CHECK(c.received == total);
    CHECK(c.wrong == 0);
  }
}

TEMPLATE_TEST_CASE("close on the strand races a notification", "[threads]", of_values, of_bytes) {
  const std::string name = unique_name("close");
  const watchdog guard;
  pool p(3);
  typename TestType::channel::producer tx(p.io, name, TestType::options());
  TestType values;
  std::atomic<int> called{0};
  const int rounds = often(20000);
  for (int i = 0; i != rounds; ++i) {
    const auto strand = net::make_strand(p.io);
    auto rx = std::make_shared<typename TestType::channel::consumer>(p.io, name);
    net::post(strand, [&, rx, strand] {
      for (int k = 0; k != 2; ++k) {
        rx->async_receive(net::bind_executor(strand, [&called, rx](auto&&...) { ++called; }));
      }
    });
    net::post(strand, [rx, i] {
      pass_time(i % 500);
      rx->close();
    });
    tx.try_send(values.make(0));
    std::promise<void> closed;
    net::post(strand, [&] { closed.set_value(); });
    closed.get_future().wait();
    rx.reset();
    if (i % 16 == 0) {
      typename TestType::channel::consumer leftover(p.io, name);
      drain(leftover);
    }
  }
  tx.close();
  p.finish();
  CHECK(called == 2 * rounds);
  error_code not_there;
  TestType::channel::unlink(name, not_there);
}

TEMPLATE_TEST_CASE("a thread waits for futures", "[threads]", of_values, of_bytes) {
  const std::string name = unique_name("future");
  const watchdog guard;
  const std::uint64_t total = static_cast<std::uint64_t>(often(20000));
  pool p(1);
  typename TestType::channel::consumer rx(p.io, name, TestType::options());
  net::io_context sending;
  net::co_spawn(sending,
                send_all<TestType>(typename TestType::channel::producer(sending, name), total), net::detached);
  std::jthread sender([&] { sending.run(); });
  std::uint64_t expected = 0;
  std::uint64_t wrong = 0;
  while (expected != total) {
    const auto v = rx.async_receive(net::use_future).get();
    if (number(v) != expected++) ++wrong;
    while (const auto more = rx.try_receive()) {
      if (number(*more) != expected++) ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK_THROWS_AS(rx.async_receive(net::use_future).get(), net_system_error);
}

TEMPLATE_TEST_CASE("a handler blocks while another thread runs the reactor", "[threads]", of_values,
                   of_bytes) {
  const std::string name = unique_name("blocking");
  const watchdog guard;
  const int rounds = often(5000);
  int received = 0;
  error_code end;
  {
    pool p(2);
    typename TestType::channel::consumer rx(p.io, name, TestType::options());
    std::jthread sender([&] {
      net::io_context unused;
      typename TestType::channel::producer tx(unused, name);
      TestType values;
      for (int i = 0; i != rounds; ++i) {
        tx.send(values.make(0));
        pass_time(i % 3000);
      }
    });
    std::promise<void> done;
    const std::function<void()> next = [&] {
      rx.async_receive([&](error_code ec, auto first) {
        {  // Both are released before the next one, perhaps in another thread, is received.
          [[maybe_unused]] const auto released = std::move(first);
          typename TestType::channel::consumer::value_type v;
          if (!ec) ++received;
          if (!ec) ec = rx.receive(v);
          if (!ec) ++received;
        }
        end = ec;
        if (ec) {
          done.set_value();
        } else {
          next();
        }
      });
    };
    next();
    done.get_future().wait();
    p.finish();
  }
  CHECK(end == errc::closed);
  CHECK(received == rounds);
}

TEMPLATE_TEST_CASE("a thread pool instead of an io_context", "[threads]", of_values, of_bytes) {
  const std::string name = unique_name("pool");
  const watchdog guard;
  const std::uint64_t total = static_cast<std::uint64_t>(often(20000));
  counts c;
  net::cancellation_signal signal;
  net::thread_pool threads(3);
  typename TestType::channel::consumer rx(threads, name, TestType::options());
  net::co_spawn(net::make_strand(threads),
                send_all<TestType>(typename TestType::channel::producer(threads, name), total),
                net::detached);
  net::co_spawn(net::make_strand(threads), receive_all(rx, signal, c), net::detached);
  threads.join();
  CHECK(c.received == total);
  CHECK(c.wrong == 0);
}

TEMPLATE_TEST_CASE("one coroutine uses two endpoints of one context", "[threads]", of_values,
                   of_bytes) {
  linked<TestType> there("there");
  const std::string back_name = there.name + "-back";
  typename TestType::channel::producer back_tx(there.io, back_name, TestType::options());
  typename TestType::channel::consumer back_rx(there.io, back_name);
  TestType back_values;
  const std::uint64_t rounds = static_cast<std::uint64_t>(often(50000));
  std::uint64_t echoed = 0;
  net::co_spawn(
      there.io,
      [&]() -> net::awaitable<void> {
        for (;;) {
          const auto [ec, v] = co_await there.rx.async_receive(use_tuple);
          if (ec) break;
          co_await back_tx.async_send(back_values.make(number(v) + 1), net::use_awaitable);
        }
        back_tx.close();
      },
      net::detached);
  run_coroutine(there.io, [&]() -> net::awaitable<void> {
    for (std::uint64_t n = 0; n != rounds; ++n) {
      co_await there.tx.async_send(there.values.make(n), net::use_awaitable);
      const auto v = co_await back_rx.async_receive(net::use_awaitable);
      if (number(v) == n + 1) ++echoed;
    }
    there.tx.close();
  });
  CHECK(echoed == rounds);
}
