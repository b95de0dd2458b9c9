// Transactions of a shared_memory: a member of the companion segment that waits in its thread.
#include "../base/deadline.hpp"
#include "../platform/block.hpp"
#include "../platform/handle.hpp"
#include "../platform/wait.hpp"
#include "../segment/ring_on_stop.hpp"
#include "block_lock.hpp"
#include "companion.hpp"

#include <belfry/detail/segment/roster.hpp>
#include <belfry/detail/segment/segment.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/transaction.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

namespace belfry {
namespace detail {

class block_member final : public std::enable_shared_from_this<block_member>,
                           private transaction_owner {
 public:
  using clock = std::chrono::steady_clock;

  block_member(const shared_memory& block, failure& f) {
    unique_handle own = platform::open_guarded(
        [&] { return platform::reopen_block(block.native_handle(), true, f); });
    if (!own) return;
    map_ = map_of(block, f);
    if (!map_) return;
    const std::string name = companion_name(block.name(), f);
    if (f) return;
    roster::joined joined = roster::joined::gone;
    while (joined == roster::joined::gone) {
      segment_ = segment::create_or_open(name, watch_view::traits, options_of(own), f,
                                         subject_of(block, own));
      if (f) return;
      roster_.emplace(segment_, layout::role::consumer);
      joined = roster_->join(f);
    }
    if (f) return;
    watched_.resize(watch_view::traits.participants());
    lock_.emplace(std::move(own), watch_view(segment_.ring()), *roster_);
  }
  ~block_member() {
    if (roster_) roster_->leave();
  }

  bool is_inherited() const noexcept { return roster_->is_inherited(); }

  transaction begin(clock::time_point deadline, const std::stop_token& stop, failure& f) {
    if (lock_->held()) {
      f = {std::make_error_code(std::errc::resource_deadlock_would_occur),
           "a transaction of this block is open here"};
      return {};
    }
    const ring_on_stop wake(stop, roster_->bell());
    if (!roster_->reaches_peers()) {
      f = {roster_->unreachable(), "reach another participant"};
      return {};
    }
    for (bool in_time = true;;) {
      const bool stopped = stop.stop_requested();
      if (!stopped && lock_->try_acquire() == attempt::done) break;
      if (stopped || !in_time) {
        lock_->withdraw();
        roster_->notify();  // another may be next now
        f = {stopped ? std::error_code(to_net(operation_aborted()))
                     : std::make_error_code(std::errc::timed_out),
             "begin a transaction"};
        return {};
      }
      std::error_code error;
      in_time = sleep(deadline, error);
      if (error) {
        lock_->withdraw();
        roster_->notify();
        f = {error, "wait for a transaction"};
        return {};
      }
    }
    return transaction(std::shared_ptr<transaction_owner>(shared_from_this(), this),
                       {map_.data(), map_.size()}, lock_->owner_died());
  }

 private:
  /// Until there is a reason to try again; false if the deadline has come before. An error: there is no sleep
  /// without hearing of deaths.
  bool sleep(clock::time_point deadline, std::error_code& error) {
    std::vector<roster::watch_change> changes;
    error = roster_->watch_peers(changes);
    for (roster::watch_change& change : changes) {
      watched_[change.slot] = std::move(change.handle);
      if (watched_[change.slot]) platform::guard_against_fork(watched_[change.slot]);
    }
    if (error) return false;
    roster_->park().park();
    bool in_time = true;
    if (!lock_->worth_trying()) {
      const std::chrono::nanoseconds pause = lock_->retry_after();
      const clock::time_point retry = clock::now() + pause;
      const bool retries = pause.count() != 0 && retry < deadline;
      std::array<native_handle_type, 1 + layout::max_participants> handles;
      std::array<bool, handles.size()> ready{};
      handles[0] = roster_->bell().handle();
      for (std::size_t i = 0; i != watched_.size(); ++i) handles[1 + i] = watched_[i].get();
      in_time = platform::wait_any(handles, retries ? retry : deadline, ready, error) || retries;
      roster_->bell().drain();
      for (std::size_t i = 0; i != watched_.size(); ++i) {
        if (!ready[1 + i]) continue;
        watched_[i].reset();
        roster_->watched_died(i);
      }
    }
    roster_->park().unpark();
    return in_time;
  }

  void end_transaction() noexcept override {
    if (!roster_->is_member()) return;  // the parent's
    lock_->release();
    roster_->notify();
  }

  mapping map_;
  segment segment_;
  std::optional<roster> roster_;
  std::optional<block_lock> lock_;
  std::vector<unique_handle> watched_;  // per slot: becomes ready when its owner dies
};

}  // namespace detail

transaction shared_memory::begin(std::chrono::nanoseconds timeout, const std::stop_token& stop,
                                 detail::failure& f) {
  if (read_only_) {
    f = {std::make_error_code(std::errc::permission_denied), '"' + name_ + "\" is read-only"};
    return {};
  }
  if (!is_open()) {
    f = {std::make_error_code(std::errc::bad_file_descriptor), '"' + name_ + "\" is closed"};
    return {};
  }
  if (!member_ || member_->is_inherited()) {
    auto member = std::make_shared<detail::block_member>(*this, f);
    if (f) return {};
    member_ = std::move(member);
  }
  return member_->begin(detail::deadline_after(timeout), stop, f);
}

transaction shared_memory::txn(const std::stop_token& stop, std::chrono::nanoseconds timeout) {
  detail::failure f;
  transaction t = begin(timeout, stop, f);
  if (f) f.raise();
  return t;
}

transaction shared_memory::txn(const std::stop_token& stop, std::chrono::nanoseconds timeout,
                               error_code& ec) {
  detail::failure f;
  transaction t = begin(timeout, stop, f);
  ec = detail::to_net(!f && t.owner_died() ? make_error_code(errc::owner_died) : f.code);
  return t;
}

}  // namespace belfry
