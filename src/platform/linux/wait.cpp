// Sleeping on several handles, for threads and for event loops other than Asio's.
#include "../handle.hpp"
#include "../wait.hpp"

#include <belfry/detail/platform/wait_set.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace belfry::platform {

bool wait_any(std::span<const native_handle_type> handles,
              std::chrono::steady_clock::time_point deadline, std::span<bool> ready,
              std::error_code& error) noexcept {
  using std::chrono::steady_clock;
  // Only as many entries as there are handles: poll() refuses more than the limit of open files.
  std::array<pollfd, max_handles> polled;
  nfds_t count = 0;
  for (const native_handle_type handle : handles) {
    if (handle != detail::no_handle && count != polled.size())
      polled[count++] = {handle, POLLIN, 0};
  }
  std::ranges::fill(ready, false);
  const bool for_ever = deadline == steady_clock::time_point::max();
  for (;;) {
    timespec remaining{};
    if (!for_ever) {
      const auto left = std::max(deadline - steady_clock::now(), steady_clock::duration::zero());
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
      remaining.tv_sec = seconds.count();
      remaining.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
    }
    const int n = ::ppoll(polled.data(), count, for_ever ? nullptr : &remaining, nullptr);
    if (n == -1 && errno == EINTR) continue;
    if (n == -1) error.assign(errno, std::system_category());
    if (n <= 0) return false;
    for (std::size_t i = 0, next = 0; next != count; ++i) {
      if (handles[i] != detail::no_handle) ready[i] = polled[next++].revents != 0;
    }
    return true;
  }
}

bool is_ready(native_handle_type handle) noexcept {
  pollfd polled{handle, POLLIN, 0};
  return ::poll(&polled, 1, 0) > 0;
}

unique_handle new_timer(std::chrono::nanoseconds after, std::error_code& error) noexcept {
  unique_handle timer =
      above_standard(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(after);
  itimerspec once{};
  once.it_value.tv_sec = seconds.count();
  once.it_value.tv_nsec = (after - seconds).count();
  if (!timer || ::timerfd_settime(timer.get(), 0, &once, nullptr) != 0) {
    error.assign(errno, std::system_category());
    timer.reset();
  }
  return timer;
}

}  // namespace belfry::platform

namespace belfry::detail {

struct wait_set::implementation {
  unique_handle epoll;
};

wait_set::wait_set() noexcept = default;
wait_set::wait_set(std::unique_ptr<implementation> made) noexcept : implementation_(std::move(made)) {}
wait_set::wait_set(wait_set&&) noexcept = default;
wait_set& wait_set::operator=(wait_set&&) noexcept = default;
wait_set::~wait_set() = default;

wait_set wait_set::around(native_handle_type bell, failure& f) {
  std::unique_ptr<implementation> made(new implementation{platform::above_standard(::epoll_create1(EPOLL_CLOEXEC))});
  if (!made->epoll) {
    f = {std::error_code(errno, std::system_category()), "create a wait set"};
    return {};
  }
  wait_set set(std::move(made));
  if (const std::error_code error = set.add(bell)) {
    f = {error, "add to a wait set"};
    return {};
  }
  return set;
}

native_handle_type wait_set::handle() const noexcept { return implementation_->epoll.get(); }

std::error_code wait_set::add(native_handle_type member) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(handle(), EPOLL_CTL_ADD, member, &event) == 0) return {};
  return {errno, std::system_category()};
}

void wait_set::remove(native_handle_type member) noexcept {
  epoll_event event{};
  ::epoll_ctl(handle(), EPOLL_CTL_DEL, member, &event);
}

void wait_set::close() noexcept { implementation_.reset(); }

}  // namespace belfry::detail
