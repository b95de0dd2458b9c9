#include "block_lock.hpp"
#include "companion.hpp"

#include <belfry/detail/blocks/watch_endpoint.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/steady_timer.hpp>
#else
#include <asio/steady_timer.hpp>
#endif

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

watch_endpoint::watch_endpoint(net::any_io_executor executor)
    : endpoint(std::move(executor), watch_view::traits, layout::role::consumer, {}) {}

watch_endpoint::~watch_endpoint() = default;

void watch_endpoint::open(const shared_memory& block, failure& f) {
  if (!block.is_open()) {
    f = {std::make_error_code(std::errc::bad_file_descriptor), "watch a block that is not open"};
    return;
  }
  // Its own description and mapping: locks belong to a description, and the block's object may be destroyed first.
  own_ = own_handle_of(block, f);
  if (!own_) return;
  read_only_ = block.read_only();
  block_ = map_of(block, f);
  if (!block_) return;
  const std::string name = companion_name(block.name(), f);
  if (f) return;
  set_options(options_of(own_));
  endpoint::open(name, f, subject_of(block, own_));
  if (f) return;
  lock_place lock = lock_place_of(own_, segment(), f);
  if (!f) lock_ = std::make_unique<block_lock>(std::move(lock.file), lock.offset, view_, peers());
}

std::error_code watch_endpoint::notify() noexcept {
  if (!is_open()) return make_error_code(errc::closed);
  peers().reaches_peers();  // if it fails, the peers that can be reached are notified all the same
  view_.change(peers().slot());
  peers().notify();
  return peers().unreachable();
}

std::error_code watch_endpoint::notify(std::size_t element) noexcept {
  if (!is_open()) return make_error_code(errc::closed);
  peers().reaches_peers();
  view_.change(peers().slot(), element);
  peers().notify();
  return peers().unreachable();
}

outcome watch_endpoint::begin(transaction& out) noexcept {
  if (read_only_) return outcome::denied;
  if (!peers().reaches_peers()) return outcome::unreachable;
  if (!lock_->try_acquire()) return outcome::would_block;
  auto self = std::static_pointer_cast<watch_endpoint>(shared_from_this());
  out = transaction(std::shared_ptr<transaction_owner>(self, this),
                    {block_.data(), block_.size()}, lock_->owner_died());
  return outcome::done;
}

bool watch_endpoint::worth_trying() noexcept {
  if (read_only_ || lock_->worth_trying()) return true;
  if (retrying_.load(std::memory_order_relaxed)) return false;
  const std::chrono::nanoseconds pause = lock_->retry_after();
  return pause.count() != 0 && !retry_after(pause);
}

/// Retries after a pause. False: no timer could be set, so the caller must try now.
bool watch_endpoint::retry_after(std::chrono::nanoseconds pause) noexcept {
  retrying_.store(true, std::memory_order_relaxed);
  try {
    // The handler owns the timer, because the timer must not outlive the context.
    const auto timer = std::make_shared<net::steady_timer>(executor(), pause);
    timer->async_wait([timer, weak = weak_from_this()](const error_code&) {
      const std::shared_ptr<endpoint> alive = weak.lock();
      if (!alive) return;
      auto& self = static_cast<watch_endpoint&>(*alive);
      // Before the attempt, which may set the next timer.
      self.retrying_.store(false, std::memory_order_relaxed);
      self.retry();
    });
  } catch (...) {
    retrying_.store(false, std::memory_order_relaxed);
  }
  return retrying_.load(std::memory_order_relaxed);
}

void watch_endpoint::stop_waiting(bool withdraw) noexcept {
  const bool last = waiting_.fetch_sub(1, std::memory_order_relaxed) == 1;
  if (!withdraw || !last || !is_open()) return;
  lock_->withdraw();
  peers().notify();  // another participant may be next now
}

void watch_endpoint::end_transaction() noexcept {
  if (!is_open()) return;
  lock_->release();
  peers().notify();
  retry();
}

// Ends a transaction that is still open.
void watch_endpoint::closing() noexcept {
  if (lock_ && lock_->held()) end_transaction();
  if (lock_) lock_->withdraw();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
