// A pending asynchronous operation of an endpoint, without its handler: that is in operation_for.hpp.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/outcome.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/error.hpp>

#include <cstdint>
#include <memory>
#include <system_error>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

class endpoint;
class operation;

/// Called on the executor of the operation, after it was posted there.
BELFRY_API void arrive(operation& op, std::shared_ptr<endpoint> e);
/// Called if the posted operation will never run: its context was destroyed, or had no memory for it.
BELFRY_API void lose(operation& op, std::shared_ptr<endpoint> e) noexcept;

/// What an operation or a blocking call does with the ring.
class request {
 public:
  /// Takes from the ring, or puts into it.
  virtual outcome try_once() noexcept = 0;
  /// Whether an attempt would succeed or fail, not block. Takes nothing.
  virtual bool ready() noexcept = 0;
  /// Whether it waits neither for values nor for room, and is told of no event: a call that has put its request into the
  /// ring, and now waits for its reply; or a blocking call that waits for a dead item. (A call's attempt is then a look.)
  virtual bool is_begun() const noexcept { return false; }

 protected:
  ~request() = default;
};

/// A request that waits in an endpoint's queue. The queue owns it until it is over. A transfer takes from the ring, or
/// puts into it; it is served in turn, and attempted only on the executor of its handler. A condition is an operation
/// whose attempt is a look, ready(): any thread looks under the endpoint's lock, at all conditions whenever something
/// may have changed. It takes nothing, is told of no event, and waits for no other operation.
///
/// A call is a transfer until its request is in the ring. Then it has begun, and is a condition: replies come in any
/// order.
///
/// The operation itself is posted to that executor, at most once at a time: while it is in the queue, to be driven;
/// when it is over, to complete. If it is cancelled while it is posted, the posted function object owns it, and it
/// completes when that runs.
class operation : public request {
 public:
  operation() = default;
  operation(const operation&) = delete;
  operation& operator=(const operation&) = delete;

  /// Both free the operation. `complete` also calls the handler, with the result: only on its executor.
  virtual void complete() = 0;
  virtual void destroy() noexcept = 0;

  /// Posts it to the handler's executor; arrive() is called there. If this throws, the operation is lost, as if its
  /// context had been destroyed. Not under the endpoint's lock.
  virtual void post(std::shared_ptr<endpoint> e) = 0;
  /// Whether that executor is the endpoint's own, on which its waits complete.
  virtual bool at_home() const noexcept = 0;
  /// Identifies the execution context: while one context does not run, others may.
  virtual const void* context() const noexcept = 0;
  /// Cancelled while it was in the queue: undoes what it has begun.
  virtual void give_up() noexcept {}
  /// Only if `timed`: whether a transfer must not wait any longer.
  virtual bool is_expired() noexcept { return false; }

  operation* next = nullptr;       // in the queue
  operation* next_post = nullptr;  // in a post_list
  std::uint64_t id = 0;            // never used twice by one endpoint
  bool elsewhere = false;          // its context is not the endpoint's
  bool posted = false;             // posted, and not yet arrived
  bool is_condition = false;
  bool at_once = false;            // a call: attempted first when it is submitted
  bool timed = false;              // it has a deadline
  bool over = false;               // no longer in the queue
  std::error_code result;          // once it is over

 protected:
  ~operation() = default;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
