// Sleeping on several handles, for threads and event loops without Asio.
#include "../platform.hpp"
#include "descriptor.hpp"

#include <belfry/segment/layout.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace belfry::platform {
unique_handle duplicate(const unique_handle& handle) noexcept {
  return unique_handle(::fcntl(handle.get(), F_DUPFD_CLOEXEC, first_descriptor));
}

bool wait_any(std::span<const native_handle_type> handles,
              std::chrono::steady_clock::time_point deadline, std::span<bool> ready) noexcept {
  using std::chrono::steady_clock;
  std::array<pollfd, 1 + layout::max_participants> polled;
  const std::size_t count = std::min(handles.size(), polled.size());
  // poll passes over negative descriptors, as `no_handle` is.
  for (std::size_t i = 0; i != count; ++i) polled[i] = {handles[i], POLLIN, 0};
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
    for (std::size_t i = 0; i != count; ++i) ready[i] = n > 0 && polled[i].revents != 0;
    return n != 0;
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

unique_handle new_wait_set(failure& f) {
  unique_handle set = above_standard(::epoll_create1(EPOLL_CLOEXEC));
  if (!set) f = {std::error_code(errno, std::system_category()), "create a wait set"};
  return set;
}

bool add_to_wait_set(const unique_handle& set, native_handle_type handle) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  return ::epoll_ctl(set.get(), EPOLL_CTL_ADD, handle, &event) == 0;
}

void remove_from_wait_set(const unique_handle& set, native_handle_type handle) noexcept {
  epoll_event event{};
  ::epoll_ctl(set.get(), EPOLL_CTL_DEL, handle, &event);
}

}  // namespace belfry::platform
