#include "blocking_calls.hpp"

#include <mutex>
#include <vector>

namespace belfry::detail::nats {

/// A context shuts its services down in the reverse order of their making: this one before the queue of handlers, into
/// which the calls still complete.
class blocking_calls::all_of_context : public net::execution_context::service {
 public:
  static net::execution_context::id id;

  explicit all_of_context(net::execution_context& context) : net::execution_context::service(context) {}

  void add(const std::shared_ptr<blocking_calls>& made) {
    const std::lock_guard lock(mutex_);
    std::erase_if(all_, [](const auto& known) { return known.expired(); });
    all_.push_back(made);
  }

 private:
  void shutdown() override {
    for (const auto& known : all_)
      if (const auto alive = known.lock()) alive->end();
  }

  std::mutex mutex_;
  std::vector<std::weak_ptr<blocking_calls>> all_;
};

net::execution_context::id blocking_calls::all_of_context::id;

std::shared_ptr<blocking_calls> blocking_calls::of(net::execution_context& context) {
  const auto made = std::make_shared<blocking_calls>();
  net::use_service<all_of_context>(context).add(made);
  return made;
}

blocking_calls::~blocking_calls() { end(); }

void blocking_calls::end() {
  over_.store(true, std::memory_order_relaxed);
  thread_.join();
}

}  // namespace belfry::detail::nats
