// The engine below a watch: an endpoint of the companion segment, with the block.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/detail/async/actions.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/layout/watch_view.hpp>
#include <belfry/detail/platform/mapping.hpp>
#include <belfry/detail/platform/memory_handle.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/transaction.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace belfry::detail {
class block_lock;
}

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

class BELFRY_API watch_endpoint final : public endpoint, private transaction_owner {
 public:
  explicit watch_endpoint(net::any_io_executor executor);
  ~watch_endpoint();

  void open(const shared_memory& block, failure& f);

  /// Still readable after close(); 0 if the endpoint was never open.
  std::uint64_t version() const noexcept { return view_ ? view_.version() : 0; }
  bool changed_since(std::uint64_t seen, std::span<const std::size_t> elements) const noexcept {
    return view_ && view_.changed_since(seen, elements);
  }
  std::error_code notify() noexcept;
  std::error_code notify(std::size_t element) noexcept;

  /// Tries to begin a transaction. `done`: `out` holds the lock.
  outcome begin(transaction& out) noexcept;
  bool worth_trying() noexcept;
  /// All waiting operations of this watch share one ticket, which is dropped with the last of them.
  void start_waiting() noexcept { waiting_.fetch_add(1, std::memory_order_relaxed); }
  void stop_waiting(bool withdraw) noexcept;

  bool ready() noexcept override { return true; }
  bool corrupted() const noexcept override { return false; }

 private:
  void attach(const ring_memory& memory, std::size_t) override { view_ = watch_view(memory); }
  void closing() noexcept override;
  void end_transaction() noexcept override;
  bool retry_after(std::chrono::nanoseconds pause) noexcept;

  watch_view view_;
  memory_handle own_;
  mapping block_;
  bool read_only_ = false;
  std::unique_ptr<block_lock> lock_;
  std::atomic<std::size_t> waiting_{0};  // operations whose attempt would have blocked
  std::atomic<bool> retrying_{false};    // a timer is set
};

/// void(error_code, std::uint64_t version): the version of the block differs from `seen`.
struct changed_action {
  std::shared_ptr<watch_endpoint> endpoint;  // keeps it alive: the handler may run after the watch is destroyed
  std::uint64_t seen;
  std::vector<std::size_t> elements{};  // empty: all

  outcome try_once() noexcept { return ready() ? outcome::done : outcome::would_block; }
  bool ready() noexcept {
    return elements.empty() ? endpoint->version() != seen : endpoint->changed_since(seen, elements);
  }
  template <class Handler>
  void finish(Handler& handler, const error_code& ec) {
    std::move(handler)(ec, ec ? seen : endpoint->version());
  }
};

template <>
inline constexpr bool is_condition<changed_action> = true;

/// void(error_code, transaction): the transaction holds the lock.
struct txn_action {
  struct stop_waiting {
    void operator()(watch_endpoint* e) const noexcept { e->stop_waiting(true); }
  };

  std::shared_ptr<watch_endpoint> endpoint;
  transaction held{};
  // Stops waiting also if the action is destroyed without finish(), because its context was destroyed.
  std::unique_ptr<watch_endpoint, stop_waiting> waiting{};

  outcome try_once() noexcept {
    const outcome o = endpoint->begin(held);
    if (o == outcome::would_block && !waiting) {
      endpoint->start_waiting();
      waiting.reset(endpoint.get());
    }
    if (o == outcome::done && waiting) waiting.release()->stop_waiting(false);
    return o;
  }
  bool ready() noexcept { return endpoint->worth_trying(); }
  template <class Handler>
  void finish(Handler& handler, error_code ec) {
    waiting.reset();
    if (!ec && held.owner_died()) ec = to_net(make_error_code(errc::owner_died));
    std::move(handler)(ec, std::move(held));
  }
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
