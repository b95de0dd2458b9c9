// Transactions of a shared_memory: a participant of the companion segment that waits in the caller's thread.
#include "../base/deadline.hpp"
#include "../segment/ring_on_stop.hpp"
#include "block_lock.hpp"
#include "companion.hpp"

#include <belfry/detail/segment/participant.hpp>
#include <belfry/shared_memory.hpp>
#include <belfry/transaction.hpp>

#include <chrono>
#include <memory>
#include <optional>

namespace belfry {
namespace detail {

class block_member final : public std::enable_shared_from_this<block_member>,
                           private transaction_owner {
 public:
  using clock = std::chrono::steady_clock;

  block_member(const shared_memory& block, failure& f) {
    own_ = own_handle_of(block, f);
    if (!own_) return;
    map_ = map_of(block, f);
    if (!map_) return;
    const std::string name = companion_name(block.name(), f);
    if (f) return;
    me_.open(name, options_of(own_), f, {}, subject_of(block, own_));
    if (f) return;
    lock_place lock = lock_place_of(own_, me_.segment(), f);
    if (!f) lock_.emplace(std::move(lock.file), lock.offset, watch_view(me_.segment().ring()), me_.peers());
  }

  ~block_member() { me_.leave(); }  // before lock_ closes its description

  bool is_inherited() const noexcept { return me_.is_inherited(); }

  transaction begin(clock::time_point deadline, const std::stop_token& stop, failure& f) {
    if (lock_->held()) {
      f = {std::make_error_code(std::errc::resource_deadlock_would_occur),
           "a transaction of this block is already open in this object"};
      return {};
    }
    const ring_on_stop wake(stop, me_.bell());
    if (!me_.peers().reaches_peers()) {
      f = {me_.peers().unreachable(), "reach another participant"};
      return {};
    }
    for (bool in_time = true;;) {
      const bool stopped = stop.stop_requested();
      if (!stopped && lock_->try_acquire()) break;
      if (stopped || !in_time) {
        lock_->withdraw();
        me_.peers().notify();  // another participant may be next now
        f = {stopped ? std::error_code(to_net(operation_aborted()))
                     : std::make_error_code(std::errc::timed_out),
             "begin a transaction"};
        return {};
      }
      std::error_code error;
      in_time = sleep(deadline, stop, error);
      if (error) {
        lock_->withdraw();
        me_.peers().notify();
        f = {error, "wait for a transaction"};
        return {};
      }
    }
    return transaction(std::shared_ptr<transaction_owner>(shared_from_this(), this),
                       {map_.data(), map_.size()}, lock_->owner_died());
  }

 private:
  /// Sleeps until there is a reason to try again. False: the deadline has passed. An error: the participant cannot
  /// watch its peers, so it must not sleep.
  bool sleep(clock::time_point deadline, const std::stop_token& stop, std::error_code& error) {
    bool in_time = true;
    // The request to stop may have notified before the bell was drained.
    if (me_.prepare_sleep(false, [&] { return stop.stop_requested() || lock_->worth_trying(); })) {
      const std::chrono::nanoseconds pause = lock_->retry_after();
      const clock::time_point retry = clock::now() + pause;
      const bool retries = pause.count() != 0 && retry < deadline;
      participant::sleep s = me_.begin_sleep();
      in_time = s.wait(retries ? retry : deadline) || retries;
      me_.end_sleep(s);
      me_.cancel_sleep();
    }
    error = me_.take_error();
    return in_time;
  }

  void end_transaction() noexcept override {
    if (!me_.is_open()) return;  // in a forked child: it is the parent's transaction
    lock_->release();
    me_.peers().notify();
  }

  memory_handle own_;
  mapping map_;
  participant me_{watch_view::traits, layout::role::consumer};
  std::optional<block_lock> lock_;
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
