// Items that are received and not yet acknowledged: the consumer's side of a work_ring with leases.
#pragma once

#include <belfry/detail/ring/kept.hpp>
#include <belfry/ring/ring.hpp>

#include <utility>

namespace belfry {
namespace detail {

/// The consumer, as a lease sees it.
class lease_source {
 public:
  virtual bool acknowledge(const lease_ticket& ticket) noexcept = 0;
  virtual bool give_back(const lease_ticket& ticket) noexcept = 0;
  virtual bool reject(const lease_ticket& ticket) noexcept = 0;

 protected:
  ~lease_source() = default;
};

}  // namespace detail

/// A work item that this consumer holds until it acknowledges, requeues or rejects it.
///
///     belfry::lease<job> l = co_await rx.async_receive_lease(net::use_awaitable);
///     if (!makes_sense(l.value())) l.reject();
///     else if (work_on(l.value())) l.ack();
///     else l.requeue();
///
/// If the process is killed first, the item is delivered again, to one other consumer. The same happens if
/// the lease is destroyed, or its consumer closed, before either call. But after `channel_options::max_deliveries`
/// deliveries the item is dead instead. Movable, not copyable. Not thread-safe: use it only where its consumer may be
/// used.
///
/// A dead item, from `async_receive_dead`, is held in the same way: ack() removes it; whatever else ends the lease
/// leaves it dead.
template <class T>
class [[nodiscard]] lease {
 public:
  lease() noexcept = default;
  lease(detail::lease_source& source, detail::kept<T> value, const detail::lease_ticket& ticket)
      : source_(&source), value_(std::move(value)), ticket_(ticket) {}
  lease(lease&& other) noexcept
      : source_(std::exchange(other.source_, nullptr)),
        value_(std::move(other.value_)),
        ticket_(other.ticket_) {}
  lease& operator=(lease&& other) noexcept {
    if (this != &other) {
      requeue();
      source_ = std::exchange(other.source_, nullptr);
      value_ = std::move(other.value_);
      ticket_ = other.ticket_;
    }
    return *this;
  }
  ~lease() { requeue(); }

  /// A copy of the item. If it has more than 4096 bytes it is on the heap, and an empty lease has none.
  const T& value() const noexcept { return *value_; }
  /// How often the item was delivered, this time included: 1 for the first time; 255 stands for 255 or more. It is
  /// delivered again when its consumer requeues it, closes, is killed or is too late (`channel_options::lease_timeout`)
  /// before it acknowledges it. 0: an empty lease. To be received as a dead item does not count.
  unsigned deliveries() const noexcept { return ticket_.deliveries; }
  /// Whether this lease holds an item that was neither acknowledged, requeued nor rejected.
  explicit operator bool() const noexcept { return source_ != nullptr; }

  /// The item is done and is not delivered again. False if it is too late: the consumer is closed, or has held the item
  /// longer than `channel_options::lease_timeout`, and it may be delivered again.
  bool ack() noexcept {
    return source_ != nullptr && std::exchange(source_, nullptr)->acknowledge(ticket_);
  }
  /// Delivers the item again, perhaps to this consumer; or makes it dead, if it was delivered
  /// `channel_options::max_deliveries` times. False as ack().
  bool requeue() noexcept {
    return source_ != nullptr && std::exchange(source_, nullptr)->give_back(ticket_);
  }
  /// The item is dead: no consumer receives it, except by `async_receive_dead`. False as ack().
  bool reject() noexcept { return source_ != nullptr && std::exchange(source_, nullptr)->reject(ticket_); }

 private:
  detail::lease_source* source_ = nullptr;
  detail::kept<T> value_ = detail::kept<T>::none();
  detail::lease_ticket ticket_;
};

}  // namespace belfry
