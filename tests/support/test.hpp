// Common to all tests: unique names, tokens that both Asios have, a watchdog.
#pragma once

#include "effort.hpp"
#include "pch.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

namespace belfry::test {

#if BELFRY_ASIO_VERSION >= 102300
using net::as_tuple;
using net::deferred;
#else
using net::experimental::as_tuple;
using net::experimental::deferred;
#endif

/// `auto [ec, value] = co_await rx.async_receive(use_tuple);`
inline constexpr auto use_tuple = as_tuple(net::use_awaitable);

/// A name that no other test uses, not even one that runs at the same time.
std::string unique_name(std::string_view what);

/// How many files of the directory of segments, which is /dev/shm on Linux, have names that begin like this.
std::size_t files_of(std::string_view name);

/// How many descriptors this process has open; on Windows, handles.
std::size_t open_descriptors();

/// Runs the context until it has no more work; stops it and returns false if that takes too long. The limit
/// is generous: it ends a test that hangs, and does not time one that works.
bool run(net::io_context& io, std::chrono::seconds watchdog = std::chrono::seconds(60));

/// Whether the handle becomes ready in time; what an event loop of one's own does between prepare_wait() and finish_wait().
bool becomes_ready(native_handle_type handle, std::chrono::milliseconds limit);

/// What a function throws, where another form reports the same by an error_code.
template <class Function>
std::error_code error_of(Function f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.code();
  }
  return {};
}

/// At the end of the test, checks that as many descriptors are open as at its construction, and that nothing
/// of these names is left in shared memory.
class nothing_left {
 public:
  explicit nothing_left(std::string name);
  nothing_left(const nothing_left&) = delete;
  nothing_left& operator=(const nothing_left&) = delete;
  ~nothing_left();

 private:
  std::string name_;
  std::size_t descriptors_;
};

/// Ends the process if the test takes too long: for waits outside of a context.
class watchdog {
 public:
  explicit watchdog(std::chrono::seconds limit = std::chrono::seconds(120));
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;
};

}  // namespace belfry::test
