// What the producers and consumers of any_channel have in common.
#pragma once

#include <belfry/detail/async/endpoint_handle.hpp>
#include <belfry/detail/async/ring_endpoints.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/ring/any.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/inspect.hpp>

#include <concepts>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// As inspect(), for a participant of the segment, which is in it.
BELFRY_API channel_info info_of(const segment& joined);

/// Adds what the segment says of itself.
template <class Endpoint>
class any_endpoint final : public Endpoint {
 public:
  using Endpoint::Endpoint;

  template <class... Arguments>
  void open(Arguments&&... arguments) {
    Endpoint::open(std::forward<Arguments>(arguments)...);
    if (this->is_open()) info_ = info_of(this->segment());
  }
  const channel_info& info() const noexcept { return info_; }

 private:
  channel_info info_;
};
using any_producer_endpoint = any_endpoint<basic_producer_endpoint<any_ring>>;
using any_consumer_endpoint = any_endpoint<leasing_consumer_endpoint<any_ring>>;

/// The common base of the producers and consumers of any_channel.
template <class Endpoint, class Executor>
class any_endpoint_handle : public endpoint_handle<Endpoint, Executor> {
  using base = endpoint_handle<Endpoint, Executor>;

 public:
  using base::base;
  template <std::convertible_to<Executor> Other>
  any_endpoint_handle(any_endpoint_handle<Endpoint, Other>&& other) : base(std::move(other)) {}

  /// What inspect() would have told when this endpoint joined: kind, type, sizes, participants. `value_bytes` is the size
  /// of every value; 0: messages of any size. described_type::parse() takes `type`. Everything is empty if the endpoint
  /// has not joined, and `name` also if the channel has none.
  const channel_info& info() const noexcept {
    static const channel_info nothing;
    return this->endpoint_ ? this->endpoint_->info() : nothing;
  }
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
