// Sleeping on several handles, for threads and for event loops other than Asio's.
#include "../wait.hpp"
#include "pool_wait.hpp"
#include "system.hpp"

#include <belfry/detail/platform/wait_set.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <list>
#include <memory>
#include <utility>
#include <vector>

namespace belfry::platform {
namespace {

void ring(void* event) { ::SetEvent(event); }

DWORD milliseconds_until(std::chrono::steady_clock::time_point deadline) noexcept {
  using namespace std::chrono;
  if (deadline == steady_clock::time_point::max()) return INFINITE;
  const auto left = ceil<milliseconds>(std::max(deadline - steady_clock::now(), steady_clock::duration::zero()));
  return static_cast<DWORD>(std::min<std::int64_t>(left.count(), 1'000'000'000));
}

/// Handles to wait for in one call, which takes 64 at most: the pool waits for the others, and one more handle stands for
/// them. Of several that are ready the system tells the one that comes first in the call. So the first of ours, a bell,
/// comes last there: it must not hide a death.
class many_handles {
 public:
  many_handles(std::span<const native_handle_type> all, std::error_code& error) noexcept {
    constexpr std::size_t most = MAXIMUM_WAIT_OBJECTS;
    direct_ = all.size() <= most ? all.size() : most - 1;
    for (std::size_t i = 1; i < direct_; ++i) handles_[count_++] = all[i];
    if (direct_ != all.size() && !wait_by_pool(all.subspan(direct_), error)) return;
    if (direct_ != 0) handles_[count_++] = all[0];
  }

  /// WAIT_OBJECT_0 and so on.
  DWORD wait(DWORD milliseconds) const noexcept {
    return ::WaitForMultipleObjects(static_cast<DWORD>(count_), handles_.data(), FALSE, milliseconds);
  }

  /// Which of the given ones a result of wait() tells; or that the pool has seen one of the others.
  std::size_t told_by(std::size_t result) const noexcept { return result + 1 == count_ ? 0 : result + 1; }
  bool stands_for_the_others(std::size_t result) const noexcept { return any_ && result + 2 == count_; }
  std::size_t first_other() const noexcept { return direct_; }

 private:
  bool wait_by_pool(std::span<const native_handle_type> others, std::error_code& error) noexcept try {
    any_ = unique_handle(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    if (!any_) error = error_of(::GetLastError());
    for (const native_handle_type other : others) {
      if (error) return false;
      error = waits_.emplace_back().start(other, pool_wait::how::once, ring, any_.get());
    }
    handles_[count_++] = any_.get();
    return !error;
  } catch (...) {
    error = std::make_error_code(std::errc::not_enough_memory);
    return false;
  }

  std::array<HANDLE, MAXIMUM_WAIT_OBJECTS> handles_;
  std::size_t count_ = 0;
  std::size_t direct_ = 0;  // how many of the given ones are in handles_
  unique_handle any_;
  std::list<pool_wait> waits_;  // ends before any_ is closed
};

}  // namespace

bool wait_any(std::span<const native_handle_type> handles, std::chrono::steady_clock::time_point deadline,
              std::span<bool> ready, std::error_code& error) noexcept {
  std::array<native_handle_type, max_handles> waited;
  std::array<std::size_t, max_handles> place;
  std::size_t count = 0;
  for (std::size_t i = 0; i != handles.size() && count != max_handles; ++i) {
    if (handles[i] == detail::no_handle) continue;
    waited[count] = handles[i];
    place[count++] = i;
  }
  std::ranges::fill(ready, false);
  const many_handles all(std::span<const native_handle_type>(waited.data(), count), error);
  if (error) return false;
  for (;;) {
    const DWORD milliseconds = milliseconds_until(deadline);
    const DWORD result = all.wait(milliseconds);
    if (result == WAIT_FAILED) {
      error = error_of(::GetLastError());
      return false;
    }
    if (result == WAIT_TIMEOUT) {
      if (std::chrono::steady_clock::now() >= deadline) return false;
      continue;
    }
    // After a sleep, the next call tells the others that are ready: it does not sleep.
    const std::size_t index = result - WAIT_OBJECT_0;
    const bool is_other = all.stands_for_the_others(index);
    if (!is_other) ready[place[all.told_by(index)]] = true;
    for (std::size_t i = milliseconds == 0 ? 0 : is_other ? all.first_other() : count; i != count; ++i) {
      if (!ready[place[i]]) ready[place[i]] = is_ready(waited[i]);
    }
    return true;
  }
}

bool is_ready(native_handle_type handle) noexcept { return ::WaitForSingleObject(handle, 0) == WAIT_OBJECT_0; }

unique_handle new_timer(std::chrono::nanoseconds after, std::error_code& error) noexcept {
  constexpr DWORD high_resolution = 2;  // since Windows 10, 1803
  const DWORD access = TIMER_MODIFY_STATE | SYNCHRONIZE;
  unique_handle timer(
      ::CreateWaitableTimerExW(nullptr, nullptr, CREATE_WAITABLE_TIMER_MANUAL_RESET | high_resolution, access));
  if (!timer) timer = unique_handle(::CreateWaitableTimerExW(nullptr, nullptr, CREATE_WAITABLE_TIMER_MANUAL_RESET, access));
  LARGE_INTEGER due{};  // in units of 100 ns; negative: from now
  due.QuadPart = -std::max<std::int64_t>((after.count() + 99) / 100, 1);
  if (!timer || ::SetWaitableTimer(timer.get(), &due, 0, nullptr, nullptr, FALSE) == 0) {
    error = error_of(::GetLastError());
    timer.reset();
  }
  return timer;
}

}  // namespace belfry::platform

namespace belfry::detail {

/// No handle stands for several ones. So the bell itself is the handle, and the pool rings it for the others.
struct wait_set::implementation {
  struct member {
    native_handle_type handle;
    std::unique_ptr<platform::pool_wait> wait;
  };
  native_handle_type bell;
  std::vector<member> members;
};

wait_set::wait_set() noexcept = default;
wait_set::wait_set(std::unique_ptr<implementation> made) noexcept : implementation_(std::move(made)) {}
wait_set::wait_set(wait_set&&) noexcept = default;
wait_set& wait_set::operator=(wait_set&&) noexcept = default;
wait_set::~wait_set() = default;

wait_set wait_set::around(native_handle_type bell, failure&) {
  return wait_set(std::unique_ptr<implementation>(new implementation{bell, {}}));
}

native_handle_type wait_set::handle() const noexcept { return implementation_->bell; }

std::error_code wait_set::add(native_handle_type member) noexcept try {
  auto wait = std::make_unique<platform::pool_wait>();
  implementation_->members.reserve(implementation_->members.size() + 1);
  const std::error_code error =
      wait->start(member, platform::pool_wait::how::once, platform::ring, implementation_->bell);
  if (!error) implementation_->members.push_back({member, std::move(wait)});
  return error;
} catch (...) {
  return std::make_error_code(std::errc::not_enough_memory);
}

void wait_set::remove(native_handle_type member) noexcept {
  std::erase_if(implementation_->members, [&](const implementation::member& m) { return m.handle == member; });
}

void wait_set::close() noexcept { implementation_.reset(); }

}  // namespace belfry::detail
