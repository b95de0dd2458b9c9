#include <belfry/detail/async/waitable.hpp>

#include <memory>
#include <utility>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

struct alarm::implementation {
  net::steady_timer timer;
};

alarm::alarm(const net::any_io_executor& executor) : implementation_(new implementation{net::steady_timer(executor)}) {}

alarm::~alarm() = default;

void alarm::async_wait(std::chrono::steady_clock::time_point time, std::shared_ptr<waitable::listener> to_call,
                       waitable::wait_id which) {
  implementation_->timer.expires_at(time);
  implementation_->timer.async_wait([to_call = std::move(to_call), which](const error_code& ec) {
    if (ec != net::error::operation_aborted) to_call->on_wait(which);
  });
}

void alarm::cancel() noexcept {
  try {
    implementation_->timer.cancel();
  } catch (...) {  // then it ends later, and is ignored
  }
}

void alarm::abandon() noexcept {
  static auto* const never_destroyed = new std::vector<std::unique_ptr<implementation>>;
  never_destroyed->push_back(std::move(implementation_));
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
