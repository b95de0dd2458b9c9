#include <belfry/detail/async/waitable.hpp>

#include <memory>
#include <utility>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/posix/stream_descriptor.hpp>
#else
#include <asio/posix/stream_descriptor.hpp>
#endif

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

struct waitable::implementation {
  net::posix::stream_descriptor descriptor;
};

waitable::waitable(const net::any_io_executor& executor, native_handle_type handle)
    : implementation_(new implementation{net::posix::stream_descriptor(executor, handle)}) {}

waitable::~waitable() {
  if (implementation_ == nullptr) return;
  implementation_->descriptor.release();  // out of the reactor; the handle is its owner's to close
}

// A read would drain the bell and need no epoll_ctl, but come between wake-up and answer. This costs as
// many system calls, all of them on the way to sleep.
void waitable::async_wait(std::shared_ptr<listener> who, wait_id which) {
  implementation_->descriptor.async_wait(net::posix::stream_descriptor::wait_read,
                                         [who = std::move(who), which](const error_code& ec) {
                                           if (ec != net::error::operation_aborted)
                                             who->on_wait(which);
                                         });
}

void waitable::cancel() noexcept {
  error_code ignored;
  implementation_->descriptor.cancel(ignored);
}

void waitable::abandon() noexcept {
  static auto* const never_destroyed = new std::vector<std::unique_ptr<implementation>>;
  never_destroyed->push_back(std::move(implementation_));
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
