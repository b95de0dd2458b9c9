// Round trips as a C program would do them: a word of shared memory, epoll, and an eventfd per side.
#pragma once

#include "../harness/contender.hpp"
#include "../harness/memory.hpp"
#include "../harness/messages.hpp"
#include "../harness/timer.hpp"

#include <belfry/detail/platform/native_handle.hpp>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace belfry::bench {

class epoll_eventfd_round_trip final : public contender {
 public:
  /// `bystanders`: how many more eventfds either side has in its epoll.
  explicit epoll_eventfd_round_trip(double units, int bystanders = 0)
      : units_(units), bystanders_(bystanders) {}

  figure lead(std::uint64_t n) override {
    const std::vector<detail::unique_handle> others = bystanders();
    const detail::unique_handle poll = watch(back_bell_, others);
    lap_timer timer(n, 1);
    for (std::uint64_t i = 0; i != n; ++i) {
      shared_->there.number(i);
      ring(there_bell_);
      wait(poll, back_bell_);
      check(shared_->back, i);
      timer.done();
    }
    return timer.median(units_);
  }

  void follow(std::uint64_t n) override {
    const std::vector<detail::unique_handle> others = bystanders();
    const detail::unique_handle poll = watch(there_bell_, others);
    for (std::uint64_t i = 0; i != n; ++i) {
      wait(poll, there_bell_);
      shared_->back = shared_->there;
      ring(back_bell_);
    }
  }

 private:
  struct memory {
    alignas(64) message<16> there;
    alignas(64) message<16> back;
  };

  [[noreturn]] static void fail(const char* what) {
    throw std::system_error(errno, std::system_category(), what);
  }

  static detail::unique_handle bell() {
    detail::unique_handle handle(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!handle) fail("eventfd");
    return handle;
  }

  std::vector<detail::unique_handle> bystanders() const {
    std::vector<detail::unique_handle> all;
    for (int i = 0; i != bystanders_; ++i) all.push_back(bell());
    return all;
  }

  static detail::unique_handle watch(const detail::unique_handle& bell,
                                     const std::vector<detail::unique_handle>& others) {
    detail::unique_handle poll(::epoll_create1(EPOLL_CLOEXEC));
    if (!poll) fail("epoll_create1");
    add(poll, bell);
    for (const detail::unique_handle& other : others) add(poll, other);
    return poll;
  }
  static void add(const detail::unique_handle& poll, const detail::unique_handle& bell) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = bell.get();
    if (::epoll_ctl(poll.get(), EPOLL_CTL_ADD, bell.get(), &event) != 0) fail("epoll_ctl");
  }

  static void ring(const detail::unique_handle& bell) {
    const std::uint64_t one = 1;
    if (::write(bell.get(), &one, sizeof one) != sizeof one) fail("write");
  }
  static void wait(const detail::unique_handle& poll, const detail::unique_handle& bell) {
    epoll_event event{};
    if (::epoll_wait(poll.get(), &event, 1, -1) != 1 || event.data.fd != bell.get())
      fail("epoll_wait");
    std::uint64_t count = 0;
    if (::read(bell.get(), &count, sizeof count) != sizeof count) fail("read");
  }

  double units_;
  inherited<memory> shared_;
  detail::unique_handle there_bell_ = bell();
  detail::unique_handle back_bell_ = bell();
  int bystanders_;
};

}  // namespace belfry::bench
