// A pending asynchronous operation of an endpoint: what it wants from the ring, and whom to tell.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/error.hpp>
#include <belfry/ring/ring.hpp>

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

class endpoint;
void drive(endpoint& e);  // on the executor of the operation that it was scheduled for

/// What somebody wants from the ring.
class request {
 public:
  /// Takes from the ring, or puts into it.
  virtual attempt try_once() noexcept = 0;
  /// Whether an attempt would bring something. Takes nothing.
  virtual bool ready() noexcept = 0;

 protected:
  ~request() = default;
};

/// A request that waits in an endpoint's queue, which owns it until it completes. Attempts are made
/// on the handler's executor only.
class operation : public request {
 public:
  operation() = default;
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;

  /// Each of these ends the operation's life. `complete` calls the handler, on whose executor the
  /// caller must be; `post_completion` lets it be called there.
  virtual void complete(std::error_code ec) = 0;
  virtual void post_completion(std::error_code ec) = 0;
  virtual void destroy() noexcept = 0;

  /// Lets the endpoint drive this operation, on the handler's executor.
  virtual void post_drive(std::shared_ptr<endpoint> e) = 0;
  /// Whether that executor is the endpoint's own, where its waits end.
  virtual bool at_home() const noexcept = 0;

  operation* next = nullptr;
  std::uint64_t id = 0;  // never used twice by one endpoint
  bool cancelled = false;
  std::error_code failure;  // of a condition: why it cannot be waited for

 protected:
  ~operation() = default;
};

/// First in, first out, and removal from the middle. Owns what is in it.
class operation_queue {
 public:
  operation_queue() = default;
  operation_queue(operation_queue&& other) noexcept
      : front_(std::exchange(other.front_, nullptr)), back_(std::exchange(other.back_, nullptr)) {}
  operation_queue& operator=(operation_queue&&) = delete;
  ~operation_queue() {
    while (!empty()) pop().destroy();
  }

  bool empty() const noexcept { return front_ == nullptr; }
  operation* front() const noexcept { return front_; }

  void push(operation& op) noexcept {
    op.next = nullptr;
    (back_ != nullptr ? back_->next : front_) = &op;
    back_ = &op;
  }
  operation& pop() noexcept {
    operation& op = *front_;
    front_ = op.next;
    if (front_ == nullptr) back_ = nullptr;
    return op;
  }
  operation* find(std::uint64_t id) const noexcept {
    operation* op = front_;
    while (op != nullptr && op->id != id) op = op->next;
    return op;
  }
  void remove(operation& op) noexcept {
    operation* before = nullptr;
    for (operation* o = front_; o != &op; o = o->next) before = o;
    (before != nullptr ? before->next : front_) = op.next;
    if (back_ == &op) back_ = before;
  }

 private:
  operation* front_ = nullptr;
  operation* back_ = nullptr;
};

/// A function object with the handler's allocator, for post and dispatch.
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

/// `Action` is what the operation does:
///
///     attempt try_once() noexcept;
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

  attempt try_once() noexcept override { return action_.try_once(); }
  bool ready() noexcept override { return action_.ready(); }

  void complete(std::error_code ec) override {
    // The handler may destroy anything and start anew: the operation's memory goes first.
    Handler handler(std::move(handler_));
    Action action(std::move(action_));
    const auto work(std::move(work_));
    free(allocator_of(handler));
    if (auto slot = net::get_associated_cancellation_slot(handler); slot.is_connected())
      slot.clear();
    action.finish(handler, to_net(ec));
  }

  void post_completion(std::error_code ec) override {
    const executor_type executor = executor_;
    const allocator_type allocator = allocator_of(handler_);
    net::post(executor, with_allocator{completion(this, ec), allocator});
  }

  void destroy() noexcept override { free(allocator_of(handler_)); }

  void post_drive(std::shared_ptr<endpoint> e) override {
    net::post(executor_, driving(std::move(e)));
  }
  bool at_home() const noexcept override { return !work_; }

 private:
  /// Owns the operation until it is called, so that a context which is destroyed frees it.
  class completion {
   public:
    completion(operation_for* op, std::error_code ec) : op_(op), ec_(ec) {}
    completion(completion&& other) noexcept
        : op_(std::exchange(other.op_, nullptr)), ec_(other.ec_) {}
    completion& operator=(completion&&) = delete;
    ~completion() {
      if (op_ != nullptr) op_->destroy();
    }
    void operator()() { std::exchange(op_, nullptr)->complete(ec_); }

   private:
    operation_for* op_;
    std::error_code ec_;
  };

  operation_for(Handler&& handler, Action&& action, const net::any_io_executor& io)
      : handler_(std::move(handler)),
        action_(std::move(action)),
        executor_(net::get_associated_executor(handler_, io)) {
    // The endpoint's own waits are on its executor, and keep its context running; another one must be told.
    if constexpr (std::is_same_v<executor_type, net::any_io_executor>) {
      if (executor_ == io) return;
    }
    work_.emplace(executor_);
  }

  static allocator_type allocator_of(const Handler& handler) noexcept {
    return net::get_associated_allocator(handler, net::recycling_allocator<void>());
  }

  void free(own_allocator allocator) noexcept {
    this->~operation_for();
    std::allocator_traits<own_allocator>::deallocate(allocator, this, 1);
  }

  auto driving(std::shared_ptr<endpoint> e) {
    return with_allocator{[e = std::move(e)] { drive(*e); }, allocator_of(handler_)};
  }

  ~operation_for() = default;

  Handler handler_;
  Action action_;
  executor_type executor_;
  std::optional<net::executor_work_guard<executor_type>> work_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
