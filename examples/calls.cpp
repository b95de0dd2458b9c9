// A calculator: any number of servers compute, any number of clients ask.
//
//   calls serve                  until SIGINT or SIGTERM
//   calls 6 '*' 7                prints 42; waits a second for the answer, or as many as CALLS_SECONDS says
#include "net.hpp"

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

struct task { std::int64_t a, b; char operation; };
struct result { std::int64_t value; };
using calculator = belfry::channel<belfry::call_ring<task, result, 64>>;

namespace {

net::awaitable<void> serve(calculator::server& s) {
  for (;;) {
    belfry::error_code ec;
    auto c = co_await s.async_accept(net::redirect_error(net::use_awaitable, ec));
    if (ec) co_return;
    const auto [a, b, operation] = c.request();
    std::int64_t value = 0;
    bool fits = true;
    switch (operation) {
      case '+': fits = !__builtin_add_overflow(a, b, &value); break;
      case '-': fits = !__builtin_sub_overflow(a, b, &value); break;
      case '*': fits = !__builtin_mul_overflow(a, b, &value); break;
      default: c.fail(std::make_error_code(std::errc::function_not_supported)); continue;
    }
    fits ? c.reply({value}) : c.fail(std::make_error_code(std::errc::result_out_of_range));
  }
}

net::awaitable<void> ask(calculator::client& c, task t, int& status) {
  const char* const seconds = std::getenv("CALLS_SECONDS");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds != nullptr ? std::stoi(seconds) : 1);
  belfry::error_code ec;
  const result r = co_await c.async_call(t, deadline, net::redirect_error(net::use_awaitable, ec));
  if (!ec) std::cout << r.value << std::endl;
  else std::cerr << "calls: " << (ec == belfry::errc::refused ? c.refusal() : ec).message() << std::endl;
  status = ec ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) try {
  const char* const set = std::getenv("CALLS_NAME");
  const std::string name = set != nullptr ? set : "calculator";
  net::io_context io;
  int status = EXIT_SUCCESS;
  if (argc == 4) {
    calculator::client c(io, name);
    net::co_spawn(io, ask(c, {std::stoll(argv[1]), std::stoll(argv[3]), argv[2][0]}, status), rethrow);
    io.run();
  } else {
    calculator::server s(io, name);
    net::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](auto, int) { s.close(); });
    net::co_spawn(io, serve(s), rethrow);
    std::cout << "calls: serving" << std::endl;
    io.run();
  }
  return status;
} catch (const std::exception& e) {
  std::cerr << "calls: " << e.what() << std::endl;
  return EXIT_FAILURE;
}
