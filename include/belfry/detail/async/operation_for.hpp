// An operation with its handler and its action, and how it travels to the executor of the handler.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/operation.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// The function object that is posted: it carries an operation to its executor.
class courier {
 public:
  courier(operation& op, std::shared_ptr<endpoint> e) noexcept : op_(&op), endpoint_(std::move(e)) {}
  courier(courier&& other) noexcept
      : op_(std::exchange(other.op_, nullptr)), endpoint_(std::move(other.endpoint_)) {}
  courier& operator=(courier&&) = delete;
  ~courier() {
    if (op_ != nullptr) lose(*op_, std::move(endpoint_));
  }
  void operator()() { arrive(*std::exchange(op_, nullptr), std::move(endpoint_)); }

 private:
  operation* op_;
  std::shared_ptr<endpoint> endpoint_;
};

/// Memory inside an operation for the executor's copy of the posted function object, so that the handler's allocator is
/// asked only once. Executors free it before they call the function. Larger requests go to the heap.
class travel_room {
 public:
  void* allocate(std::size_t bytes) {
    const std::size_t rounded = (bytes + align - 1) / align * align;
    if (rounded > room_.size() - used_) return ::operator new(bytes);
    void* const p = room_.data() + used_;
    used_ += rounded;
    ++blocks_;
    return p;
  }
  void deallocate(void* p) noexcept {
    const auto* const at = static_cast<std::byte*>(p);
    if (std::less<>()(at, room_.data()) || !std::less<>()(at, room_.data() + room_.size()))
      return ::operator delete(p);
    if (--blocks_ == 0) used_ = 0;
  }

 private:
  static constexpr std::size_t align = alignof(std::max_align_t);
  alignas(align) std::array<std::byte, 256> room_;
  std::size_t used_ = 0;
  unsigned blocks_ = 0;
};

template <class T>
class travel_allocator {
 public:
  using value_type = T;
  explicit travel_allocator(travel_room& room) noexcept : room_(&room) {}
  template <class Other>
  travel_allocator(const travel_allocator<Other>& other) noexcept : room_(other.room_) {}
  T* allocate(std::size_t n) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    return static_cast<T*>(room_->allocate(n * sizeof(T)));
  }
  void deallocate(T* p, std::size_t) noexcept { room_->deallocate(p); }
  template <class Other>
  bool operator==(const travel_allocator<Other>& other) const noexcept {
    return room_ == other.room_;
  }
  template <class Other>
  bool operator!=(const travel_allocator<Other>& other) const noexcept {
    return room_ != other.room_;
  }

 private:
  template <class>
  friend class travel_allocator;
  travel_room* room_;
};

/// A function object with an allocator, for post.
template <class Function, class Allocator>
struct with_allocator {
  using allocator_type = Allocator;
  allocator_type get_allocator() const noexcept { return allocator; }
  void operator()() { function(); }

  Function function;
  Allocator allocator;
};
template <class Function, class Allocator>
with_allocator(Function, Allocator) -> with_allocator<Function, Allocator>;

/// Whether an action is that of a call, which has a beginning and an end:
///
///     bool is_begun() const noexcept;
///     void give_up() noexcept;               // what it has begun is undone
///     bool is_expired() noexcept;            // its deadline has passed
template <class Action>
inline constexpr bool is_call = false;

/// An operation with its handler. `Action` is what the operation does:
///
///     outcome try_once() noexcept;
///     bool ready() noexcept;
///     void finish(Handler&, error_code);     // calls the handler, with the result if there is one
template <class Handler, class Action>
class operation_for final : public operation {
  using executor_type = net::associated_executor_t<Handler, net::any_io_executor>;
  using allocator_type = net::associated_allocator_t<Handler, net::recycling_allocator<void>>;
  using own_allocator =
      typename std::allocator_traits<allocator_type>::template rebind_alloc<operation_for>;

 public:
  static operation_for& make(Handler&& handler, Action&& action, const net::any_io_executor& io) {
    own_allocator allocator(allocator_of(handler));
    operation_for* memory = std::allocator_traits<own_allocator>::allocate(allocator, 1);
    try {
      return *new (memory) operation_for(std::move(handler), std::move(action), io);
    } catch (...) {
      std::allocator_traits<own_allocator>::deallocate(allocator, memory, 1);
      throw;
    }
  }

  outcome try_once() noexcept override { return action_.try_once(); }
  bool ready() noexcept override { return action_.ready(); }
  bool is_begun() const noexcept override {
    if constexpr (is_call<Action>) return action_.is_begun();
    return false;
  }
  void give_up() noexcept override {
    if constexpr (is_call<Action>) action_.give_up();
  }
  bool is_expired() noexcept override {
    if constexpr (is_call<Action>) return action_.is_expired();
    return false;
  }

  void complete() override {
    // The handler may destroy the endpoint, or start the next operation: free this operation's memory first.
    Handler handler(std::move(handler_));
    Action action(std::move(action_));
    const auto work(std::move(work_));
    const std::error_code ec = result;
    free(allocator_of(handler));
    if (auto slot = net::get_associated_cancellation_slot(handler); slot.is_connected())
      slot.clear();
    action.finish(handler, to_net(ec));
  }

  void destroy() noexcept override { free(allocator_of(handler_)); }

  void post(std::shared_ptr<endpoint> e) override {
    const executor_type executor = executor_;  // the operation may be freed before post() returns
    if constexpr (type_erased) {
      net::post(executor, courier(*this, std::move(e)));  // it ignores associated allocators
    } else {
      net::post(executor, with_allocator{courier(*this, std::move(e)), travel_allocator<void>(room_)});
    }
  }
  bool at_home() const noexcept override { return !work_; }
  const void* context() const noexcept override { return context_of(executor_); }

 private:
  static constexpr bool type_erased = std::is_same_v<executor_type, net::any_io_executor>;

  template <class Executor>
  const void* context_of(const Executor& executor) const noexcept {
    if constexpr (net::can_query_v<const Executor&, net::execution::context_t>) {
      return &net::query(executor, net::execution::context);
    } else {
      return this;  // unknown: treat it as a context of its own
    }
  }

  operation_for(Handler&& handler, Action&& action, const net::any_io_executor& io)
      : handler_(std::move(handler)),
        action_(std::move(action)),
        executor_(net::get_associated_executor(handler_, io)) {
    // The endpoint's waits keep the context of its own executor running. Another executor needs a work guard.
    if constexpr (type_erased) {
      if (executor_ == io) return;
    }
    work_.emplace(executor_);
    elsewhere = context() != context_of(io);
  }

  static allocator_type allocator_of(const Handler& handler) noexcept {
    return net::get_associated_allocator(handler, net::recycling_allocator<void>());
  }

  void free(own_allocator allocator) noexcept {
    this->~operation_for();
    std::allocator_traits<own_allocator>::deallocate(allocator, this, 1);
  }

  ~operation_for() = default;

  Handler handler_;
  Action action_;
  executor_type executor_;
  std::optional<net::executor_work_guard<executor_type>> work_;
  struct no_room {};
  [[no_unique_address]] std::conditional_t<type_erased, no_room, travel_room> room_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
