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
  implementation_->descriptor.release();  // removes it from the reactor; the owner closes the handle
}

// An asynchronous read would also drain the bell and need no epoll_ctl. But its system call would come between the
// wake-up and the answer. A wait needs as many system calls, and all of them are made while going to sleep.
void waitable::async_wait(std::shared_ptr<listener> to_call, wait_id which) {
  implementation_->descriptor.async_wait(net::posix::stream_descriptor::wait_read,
                                         [to_call = std::move(to_call), which](const error_code& ec) {
                                           if (ec != net::error::operation_aborted)
                                             to_call->on_wait(which);
                                         });
}

void waitable::cancel() noexcept {
  error_code ignored;
  implementation_->descriptor.cancel(ignored);
}

// A descriptor stays readable for all that look at it.
void waitable::detach() noexcept {}

void waitable::abandon() noexcept {
  static auto* const never_destroyed = new std::vector<std::unique_ptr<implementation>>;
  never_destroyed->push_back(std::move(implementation_));
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
