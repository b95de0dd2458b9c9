// The clients and servers of any_channel.
#pragma once

#include <belfry/channel_handles.hpp>
#include <belfry/detail/async/call_endpoints.hpp>
#include <belfry/detail/blocks/any_endpoint.hpp>
#include <belfry/detail/ring/any_call.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/error.hpp>
#include <belfry/inspect.hpp>

#include <memory>
#include <string_view>
#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

template <>
struct call_types<any_call_ring> {
  using request = std::span<const std::byte>;
  using reply = message;
  using accepted = byte_call;
};

/// Adds what the segment says of itself, and with it where requests and replies are.
template <class Endpoint>
class any_call_endpoint : public Endpoint {
 public:
  using Endpoint::Endpoint;

  void open(std::string_view name, failure& f) {
    Endpoint::open(name, f);
    joined(f);
  }
  void open(const segment_handles& handles, failure& f) {
    Endpoint::open(handles, f);
    joined(f);
  }
  void open(const shared_memory_manager& manager, std::string_view name, failure& f) {
    Endpoint::open(manager, name, f);
    joined(f);
  }
  const channel_info& info() const noexcept { return info_; }

 private:
  void joined(failure& f) {
    if (f) return;
    info_ = info_of(this->segment());
    this->set_rooms(any_call_ring::rooms(this->segment().ring(), info_.type, this->segment().title(), f));
    if (!f) return;
    this->close();
    info_ = {};
  }

  channel_info info_;
};

template <>
class client_endpoint<any_call_ring> final : public any_call_endpoint<in_place_client_endpoint<any_call_ring>> {
 public:
  using any_call_endpoint::any_call_endpoint;
};
template <>
class server_endpoint<any_call_ring> final : public any_call_endpoint<basic_server_endpoint<any_call_ring>> {
 public:
  using any_call_endpoint::any_call_endpoint;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
