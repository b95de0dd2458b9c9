// The endpoints of an execution context, so that their operations are destroyed with the context.
#pragma once

#include <belfry/detail/async/endpoint.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// A coroutine that owns an endpoint and awaits one of its operations is itself owned by the endpoint's queue. When the
/// context is destroyed, this service breaks the cycle.
class endpoint_service : public net::execution_context::service {
 public:
  using key_type = endpoint_service;
  static inline net::execution_context::id id;

  explicit endpoint_service(net::execution_context& context) : service(context) {}

  void add(endpoint& e) {
    const std::scoped_lock lock(mutex_);
    endpoints_.push_back(&e);
  }
  void remove(endpoint& e) noexcept {
    const std::scoped_lock lock(mutex_);
    std::erase(endpoints_, &e);
  }

 private:
  void shutdown() noexcept override {
    std::vector<std::shared_ptr<endpoint>> alive;
    {
      const std::scoped_lock lock(mutex_);
      for (endpoint* e : endpoints_) {
        if (auto strong = e->weak_from_this().lock()) alive.push_back(std::move(strong));
      }
      endpoints_.clear();
    }
    for (const std::shared_ptr<endpoint>& e : alive) e->shutdown();
  }

  std::mutex mutex_;
  std::vector<endpoint*> endpoints_;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
