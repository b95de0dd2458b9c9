#include "../platform.hpp"
#include "block_lock.hpp"
#include "companion.hpp"

#include <belfry/detail/watch_endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

watch_endpoint::watch_endpoint(net::any_io_executor executor)
    : endpoint(std::move(executor), watch_view::traits, layout::role::consumer, {}) {}

watch_endpoint::~watch_endpoint() = default;

void watch_endpoint::open(const shared_memory& block, failure& f) {
  if (!block.is_open()) {
    f = {std::make_error_code(std::errc::bad_file_descriptor), "watch a block that is not open"};
    return;
  }
  // Both of our own: the lock belongs to its description, the memory may outlive the block's object.
  unique_handle own = platform::reopen_block(block.native_handle(), !block.read_only(), f);
  if (!own) return;
  read_only_ = block.read_only();
  block_ = map_of(block, f);
  if (!block_) return;
  endpoint::open(companion_name(block), f, subject_of(block, own));
  if (!f) lock_ = std::make_unique<block_lock>(std::move(own), view_, peers().slot());
}

void watch_endpoint::notify() noexcept {
  if (!is_open()) return;
  view_.change(peers().slot());
  peers().notify();
}

void watch_endpoint::notify(std::size_t element) noexcept {
  if (!is_open()) return;
  view_.change(peers().slot(), element);
  peers().notify();
}

attempt watch_endpoint::begin(transaction& out) noexcept {
  if (read_only_) return attempt::denied;
  const attempt a = lock_->try_acquire(peers().deaths());
  if (a == attempt::done) {
    auto self = std::static_pointer_cast<watch_endpoint>(shared_from_this());
    out = transaction(std::shared_ptr<transaction_owner>(self, this),
                      {block_.data(), block_.size()}, lock_->owner_died());
  }
  return a;
}

bool watch_endpoint::worth_trying() const noexcept {
  return read_only_ || lock_->worth_trying(peers().deaths());
}

void watch_endpoint::stop_waiting(bool withdraw) noexcept {
  const bool last = waiting_.fetch_sub(1, std::memory_order_relaxed) == 1;
  if (!withdraw || !last || !is_open()) return;
  lock_->withdraw();
  peers().notify();  // another may be next now
}

void watch_endpoint::end_transaction() noexcept {
  if (!is_open()) return;
  lock_->release();
  peers().notify();
  kick();
}

// A transaction that is still open ends here: the lock goes with its description.
void watch_endpoint::closing() noexcept {
  if (lock_ && lock_->held()) end_transaction();
  if (lock_) lock_->withdraw();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
