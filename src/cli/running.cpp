#include "running.hpp"

#include "../platform/tool.hpp"

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/signal_set.hpp>
#else
#include <asio/signal_set.hpp>
#endif

namespace belfry::cli {

void run_until_stopped(net::io_context& io, net::awaitable<void> command, std::function<void()> stop) {
  net::signal_set signals(io);
  for (const int signal : platform::ending_signals()) signals.add(signal);
  signals.async_wait([&](const error_code& ec, int) {
    if (ec) return;
    signals.clear();
    stop();
  });
  std::exception_ptr failed;
  net::co_spawn(io, std::move(command), [&](std::exception_ptr e) {
    failed = std::move(e);
    io.stop();
  });
  io.run();
  if (failed) std::rethrow_exception(failed);
}

time_limit::time_limit(net::io_context& io, double seconds, std::function<void()> expired)
    : timer_(io), seconds_(seconds), expired_(std::move(expired)) {}

void time_limit::begin() {
  has_expired_ = false;
  if (seconds_ <= 0) return;
  constexpr double longest = 1e9;  // the clock has more, but not much
  timer_.expires_after(
      std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(std::min(seconds_, longest))));
  timer_.async_wait([this, wait = ++wait_](const error_code& ec) {
    if (ec || wait != wait_) return;
    has_expired_ = true;
    expired_();
  });
}

void time_limit::end() {
  if (seconds_ <= 0) return;
  ++wait_;
  timer_.cancel();
}

std::string time_limit::text() const {
  std::ostringstream text;
  text << "within " << seconds_ << (seconds_ == 1 ? " second" : " seconds");
  return text.str();
}

}  // namespace belfry::cli
