// Items that are received and not yet acknowledged: the consumer's side of a work_ring with leases.
#pragma once

#include <belfry/ring/ring.hpp>

#include <utility>

namespace belfry {
namespace detail {

/// The consumer, as a lease sees it.
class lease_source {
 public:
  virtual bool acknowledge(const lease_ticket& ticket) noexcept = 0;
  virtual bool give_back(const lease_ticket& ticket) noexcept = 0;

 protected:
  ~lease_source() = default;
};

}  // namespace detail

/// A work item that this consumer holds until it acknowledges or requeues it.
///
///     belfry::lease<job> l = co_await rx.async_receive_lease(net::use_awaitable);
///     if (work_on(l.value())) l.ack(); else l.requeue();
///
/// If the process is killed first, the item is delivered again, to one other consumer. The same happens if
/// the lease is destroyed, or its consumer closed, before either call. Movable, not copyable. Not
/// thread-safe: use it only where its consumer may be used.
template <class T>
class [[nodiscard]] lease {
 public:
  lease() noexcept = default;
  lease(detail::lease_source& source, const T& value, const detail::lease_ticket& ticket)
      : source_(&source), value_(value), ticket_(ticket) {}
  lease(lease&& other) noexcept
      : source_(std::exchange(other.source_, nullptr)),
        value_(other.value_),
        ticket_(other.ticket_) {}
  lease& operator=(lease&& other) noexcept {
    if (this != &other) {
      requeue();
      source_ = std::exchange(other.source_, nullptr);
      value_ = other.value_;
      ticket_ = other.ticket_;
    }
    return *this;
  }
  ~lease() { requeue(); }

  /// A copy of the item.
  const T& value() const noexcept { return value_; }
  /// How often the item was delivered, this time included: 1 for the first time; 255 stands for 255 or more. It is
  /// delivered again when its consumer requeues it, closes or is killed before it acknowledges it. 0: an empty lease.
  unsigned deliveries() const noexcept { return ticket_.deliveries; }
  /// Whether this lease holds an item that was neither acknowledged nor requeued.
  explicit operator bool() const noexcept { return source_ != nullptr; }

  /// The item is done and is not delivered again. False if it is too late, because the consumer is closed.
  bool ack() noexcept {
    return source_ != nullptr && std::exchange(source_, nullptr)->acknowledge(ticket_);
  }
  /// Delivers the item again, perhaps to this consumer. False if the consumer is closed.
  bool requeue() noexcept {
    return source_ != nullptr && std::exchange(source_, nullptr)->give_back(ticket_);
  }

 private:
  detail::lease_source* source_ = nullptr;
  T value_{};
  detail::lease_ticket ticket_;
};

}  // namespace belfry
