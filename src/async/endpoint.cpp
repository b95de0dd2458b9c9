// Endpoints: opening, closing, and the steps of one request.
#include "../platform/barrier.hpp"
#include "../platform/machine.hpp"
#include "endpoint_service.hpp"

#include <belfry/detail/async/endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

endpoint::endpoint(net::any_io_executor executor, const ring_traits& traits, layout::role role,
                   const channel_options& options)
    : executor_(std::move(executor)),
      traits_(traits),
      role_(role),
      options_(options),
      fsm_(platform::processors() > 1 ? options.spin : std::chrono::nanoseconds::zero()) {}

endpoint::~endpoint() {
  if (service_ != nullptr) service_->remove(*this);
}

// ---- opening and closing ----------------------------------------------------------------------------

void endpoint::open(std::string_view name, failure& f, const subject& block) {
  for (;;) {
    segment_ = segment::create_or_open(name, traits_, options_, f, block);
    if (f) return;
    roster_.emplace(segment_, role_);
    switch (join(f)) {
      case roster::joined::yes: return joined(f);
      case roster::joined::no: return;
      case roster::joined::gone: break;  // the last one out was just leaving: begin anew
    }
  }
}

void endpoint::open(const segment_handles& handles, failure& f) {
  segment_ = segment::attach(handles, traits_, options_, f);
  if (f) return;
  roster_.emplace(segment_, role_);
  if (join(f) == roster::joined::yes) joined(f);
}

roster::joined endpoint::join(failure& f) {
  return roster_->join(f, [this](std::size_t slot) { attach(segment_.ring(), slot); });
}

void endpoint::joined(failure& f) {
  try {
    bell_.handle.emplace(executor_, roster_->bell().handle());
    deaths_ = std::vector<watched>(traits_.participants());
    watch_changes_.reserve(traits_.participants());
    service_ = &net::use_service<endpoint_service>(net::query(executor_, net::execution::context));
    service_->add(*this);
  } catch (const net_system_error& e) {
    f = {e.code(), "await the bell"};
    roster_->undo_join();
    close();
  }
}

void endpoint::close() noexcept {
  if (roster_ && roster_->is_inherited()) return abandon();
  post_list posts;
  {
    const unique_lock lock(mutex_);
    abort_all(posts);
    stop_waits();
    bell_.handle.reset();
    for (std::size_t i = 0; i != deaths_.size(); ++i) forget(i);
    wait_set_.reset();
    told_deaths_ = 0;
  }
  if (roster_) {
    if (roster_->is_member()) closing();
    roster_->leave();
  }
  closed();
  posts.send(weak_from_this().lock());  // without an owner nothing was ever pending
}

/// In the child of a fork: gives up the handles. Pending operations are the parent's; a thread of its
/// may have held any lock when it forked, so none is taken.
void endpoint::abandon() noexcept {
  for (watched& death : deaths_) {
    if (death.handle) death.handle->abandon();
    death.handle.reset();
    death.owned.reset();
  }
  if (bell_.handle) bell_.handle->abandon();
  bell_.handle.reset();
  wait_set_.reset();
  roster_->leave();
  closed();
}

// The context goes: no handler will ever be called again. They may own this endpoint, and close it when they
// are destroyed, so that comes after the lock. Those that are on their way are what was posted with them.
void endpoint::shutdown() noexcept {
  operation_queue here;
  {
    const unique_lock lock(mutex_);
    for (operation_queue* queue : {&transfers_, &conditions_}) {
      while (!queue->empty()) {
        operation& op = queue->pop();
        op.end(operation_aborted());
        if (!op.posted) here.push(op);
      }
    }
    become(phase::idle);
    service_ = nullptr;
    stop_waits();
    bell_.handle.reset();
    for (watched& death : deaths_) death.handle.reset();
  }
}

void endpoint::reap() noexcept {
  const unique_lock lock(mutex_);
  if (is_open()) roster_->reap();
}

bool endpoint::has_peer() noexcept {
  const unique_lock lock(mutex_);
  if (!is_open()) return false;
  roster_->reap();
  return roster_->peer_came();
}

// ---- one request, step by step ------------------------------------------------------------------------

std::error_code endpoint::error_of(attempt outcome) const noexcept {
  switch (outcome) {
    case attempt::corrupted: return make_error_code(errc::corrupted);
    case attempt::too_large: return make_error_code(errc::message_too_large);
    case attempt::lagged: return make_error_code(errc::lagged);
    case attempt::denied: return std::make_error_code(std::errc::permission_denied);
    case attempt::unreachable: return roster_->unreachable();
    case attempt::done:
    case attempt::would_block: break;
  }
  return {};
}

endpoint::clock::time_point endpoint::now() const {
  return fsm_.needs_time() ? clock::now() : clock::time_point{};
}

endpoint::progress endpoint::advance(request& wanted, step next, post_list& posts) {
  std::error_code result;
  for (;;) {
    switch (next) {
      case step::attempt: {
        const attempt outcome = wanted.try_once();
        result = error_of(outcome);
        next = fsm_.attempted(outcome != attempt::would_block);
        break;
      }
      case step::look: next = fsm_.looked(static_cast<bool>(roster_->peek_event()), now()); break;
      case step::report:
        result = roster_->peek_event();
        roster_->take_event();
        if (result) return {progress::done, result};
        next = fsm_.begin();  // who had closed is back
        break;
      case step::linger:
        next = linger(wanted) ? fsm_.lingered(true) : fsm_.lingered(false, now());
        if (next == step::linger) return {progress::yield, {}};
        break;
      case step::park:
        next = fsm_.parked(park_and_look(&wanted, posts));
        if (wait_error_) {  // better to fail than to sleep without hearing of a death
          rise();
          return {progress::done, std::exchange(wait_error_, {})};
        }
        break;
      case step::sleep: return {progress::sleep, {}};
      case step::unpark:
        rise();
        next = fsm_.unparked();
        break;
      case step::finish: return {progress::done, result};
    }
  }
}

/// Steps W1 to W3 of parking.hpp. Without a request, only for those who wait for a peer.
bool endpoint::park_and_look(request* wanted, post_list& posts) {
  park(wanted != nullptr, posts);
  return wanted != nullptr && (wanted->ready() || roster_->peek_event());
}

/// W1 and W2.
void endpoint::park(bool for_room, post_list& posts) {
  // Before: one who joins now rings, and must be watched, too.
  rung_ = false;
  drain();
  watch_peers();
  roster_->park().park();
  // For room: consumers publish it without a fence.
  if (for_room && role_ == layout::role::producer) platform::barrier_everywhere();
  roster_->heed_alarm();
  if (!conditions_.empty()) find_conditions(posts);
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
