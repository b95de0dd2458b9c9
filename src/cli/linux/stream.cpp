// The reactor waits for a handle that becomes readable when the stream is ready.
#include "../stream.hpp"

#include "../../platform/linux/facts.hpp"

#include <utility>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/posix/stream_descriptor.hpp>
#else
#include <asio/posix/stream_descriptor.hpp>
#endif

namespace belfry::cli {

using net::posix::stream_descriptor;
using platform::stream_event;

struct stream::implementation {
  implementation(net::io_context& io, native_handle_type h) : handle(h), ready(io), hung_up(io) {}

  void watch(stream_descriptor& watcher, stream_event event) const {
    detail::failure f;
    detail::unique_handle found = platform::readiness_of(handle, event, f);
    if (f) f.raise();
    if (found) watcher.assign(found.release());
  }
  net::awaitable<error_code> wait() {
    error_code ec;
    co_await ready.async_wait(stream_descriptor::wait_read, net::redirect_error(net::use_awaitable, ec));
    co_return ec;
  }

  const native_handle_type handle;
  stream_descriptor ready;
  stream_descriptor hung_up;
  bool cancelled = false;
};

stream::stream(net::io_context& io, native_handle_type handle, use u)
    : implementation_(std::make_unique<implementation>(io, handle)) {
  implementation_->watch(implementation_->ready, u == use::input ? stream_event::readable : stream_event::writable);
}

stream::~stream() = default;

bool stream::waits() const noexcept { return implementation_->ready.is_open(); }

net::awaitable<std::size_t> stream::read_some(std::span<char> into, detail::failure& f) {
  implementation& i = *implementation_;
  const error_code ec = co_await i.wait();
  if (ec || i.cancelled) co_return 0;
  co_return platform::read_some(i.handle, into, f);
}

net::awaitable<std::size_t> stream::write_some(std::string_view bytes, detail::failure& f) {
  implementation& i = *implementation_;
  const error_code ec = co_await i.wait();
  if (ec) co_return 0;
  co_return platform::write_some(i.handle, bytes.substr(0, platform::atomic_bytes), f);
}

void stream::cancel() {
  implementation_->cancelled = true;
  if (implementation_->ready.is_open()) implementation_->ready.cancel();
  if (implementation_->hung_up.is_open()) implementation_->hung_up.cancel();
}

void stream::on_hung_up(std::function<void()> call) {
  implementation& i = *implementation_;
  i.watch(i.hung_up, stream_event::hung_up);
  if (!i.hung_up.is_open()) return;
  i.hung_up.async_wait(stream_descriptor::wait_read, [call = std::move(call)](const error_code& ec) {
    if (!ec) call();
  });
}

}  // namespace belfry::cli
