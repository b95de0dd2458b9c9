// Items that are taken, and not acknowledged yet: what a consumer of a work_ring may ask for.
#pragma once

#include <belfry/ring/ring.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace belfry {
namespace detail {

/// Which item, and that it is still the same one.
struct lease_ticket {
  std::size_t index = 0;
  std::uint64_t lap = 0;
};

/// The consumer, as a lease sees it.
class lease_source {
 public:
  virtual bool acknowledge(const lease_ticket& ticket) noexcept = 0;
  virtual bool give_back(const lease_ticket& ticket) noexcept = 0;

 protected:
  ~lease_source() = default;
};

template <class R>
concept leasing_ring = ring<R> && requires(typename R::reader& r, const lease_ticket& t) {
  { r.give_back(t) } -> std::same_as<bool>;
};

}  // namespace detail

/// A work item that this consumer has, until it says what becomes of it.
///
///     belfry::lease<job> l = co_await rx.async_receive_lease(net::use_awaitable);
///     if (work_on(l.value())) l.ack(); else l.requeue();
///
/// If its process is killed before, the item is delivered again, to one other consumer; so it is if the
/// lease is dropped, or its consumer closed, without a word. Movable, not copyable; to be used where its
/// consumer may be used: not thread-safe.
template <class T>
class lease {
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
  /// Whether there is one, of which nothing was said yet.
  explicit operator bool() const noexcept { return source_ != nullptr; }

  /// It is done: nobody gets it again. False if it was too late to say so, as the consumer is closed.
  bool ack() noexcept {
    return source_ != nullptr && std::exchange(source_, nullptr)->acknowledge(ticket_);
  }
  /// Somebody is to have it again, perhaps this consumer.
  bool requeue() noexcept {
    return source_ != nullptr && std::exchange(source_, nullptr)->give_back(ticket_);
  }

 private:
  detail::lease_source* source_ = nullptr;
  T value_{};
  detail::lease_ticket ticket_;
};

}  // namespace belfry
