// A thread of the system reads and writes: Windows has nothing that tells when a pipe or console is ready.
#include "../stream.hpp"

#include "../../platform/windows/system.hpp"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

namespace belfry::cli {

struct stream::implementation {
  /// One read or write. Shared with the thread, which may stay in it until the process ends.
  struct transfer {
    transfer(net::io_context& io, native_handle_type h) : handle(h), waiter(std::make_shared<net::steady_timer>(io)) {
      waiter->expires_at(net::steady_timer::time_point::max());
    }

    bool start() {
      auto shared = std::make_unique<std::shared_ptr<transfer>>(self.lock());
      if (::QueueUserWorkItem(run_one, shared.get(), WT_EXECUTELONGFUNCTION) == 0) return false;
      static_cast<void>(shared.release());
      return true;
    }
    static DWORD WINAPI run_one(void* shared) {
      const std::unique_ptr<std::shared_ptr<transfer>> mine(static_cast<std::shared_ptr<transfer>*>(shared));
      (*mine)->run();
      return 0;
    }
    void run() {
      detail::failure f;
      const std::size_t n = into.empty() ? platform::write_some(handle, from, f) : platform::read_some(handle, into, f);
      const std::lock_guard lock(mutex);
      bytes = n;
      failed = std::move(f);
      done = true;
      // The context lives as long as there is a waiter.
      if (const auto w = std::exchange(waiter, nullptr)) net::post(w->get_executor(), [w] { w->cancel(); });
    }
    /// What it does from now on is of no interest.
    void abandon() {
      std::shared_ptr<net::steady_timer> dropped;  // destroyed without the lock
      const std::lock_guard lock(mutex);
      dropped.swap(waiter);
    }

    const native_handle_type handle;
    std::weak_ptr<transfer> self;
    std::string from;
    std::vector<char> into;  // empty: this is a write
    std::mutex mutex;
    std::shared_ptr<net::steady_timer> waiter;  // null: nothing waits
    std::size_t bytes = 0;
    detail::failure failed;
    bool done = false;
  };

  implementation(net::io_context& c, native_handle_type h) : io(c), handle(h) {
    const DWORD type = ::GetFileType(handle);
    waits = type == FILE_TYPE_PIPE || type == FILE_TYPE_CHAR;
  }
  ~implementation() { cancel(); }

  void cancel() {
    cancelled = true;
    if (!pending) return;
    const std::shared_ptr<net::steady_timer> waiter = timer.lock();
    pending->abandon();
    pending.reset();
    if (waiter) waiter->cancel();
  }

  net::awaitable<void> carry_out(std::shared_ptr<transfer> t, detail::failure& f) {
    if (cancelled) co_return;
    t->self = t;
    const std::shared_ptr<net::steady_timer> waiter = t->waiter;
    pending = t;
    timer = waiter;
    if (!t->start()) {
      platform::fail(f, "start a thread");
      pending.reset();
      co_return;
    }
    // The thread's handler cannot run before this wait begins: there is one thread in the context.
    error_code ended;
    co_await waiter->async_wait(net::redirect_error(net::use_awaitable, ended));
    if (pending == t) pending.reset();
    const std::lock_guard lock(t->mutex);
    if (t->done) f = t->failed;
  }

  net::io_context& io;
  const native_handle_type handle;
  std::shared_ptr<transfer> pending;
  std::weak_ptr<net::steady_timer> timer;  // of that one
  bool waits = false;
  bool cancelled = false;
};

stream::stream(net::io_context& io, native_handle_type handle, use)
    : implementation_(std::make_unique<implementation>(io, handle)) {}

stream::~stream() = default;

bool stream::waits() const noexcept { return implementation_->waits; }

net::awaitable<std::size_t> stream::read_some(std::span<char> into, detail::failure& f) {
  implementation& i = *implementation_;
  const auto t = std::make_shared<implementation::transfer>(i.io, i.handle);
  t->into.resize(into.size());
  co_await i.carry_out(t, f);
  if (i.cancelled) co_return 0;
  std::copy_n(t->into.begin(), t->bytes, into.begin());
  co_return t->bytes;
}

net::awaitable<std::size_t> stream::write_some(std::string_view bytes, detail::failure& f) {
  implementation& i = *implementation_;
  const auto t = std::make_shared<implementation::transfer>(i.io, i.handle);
  t->from = bytes;
  co_await i.carry_out(t, f);
  if (i.cancelled) co_return 0;
  co_return t->bytes;
}

void stream::cancel() { implementation_->cancel(); }

void stream::on_hung_up(std::function<void()>) {}

}  // namespace belfry::cli
