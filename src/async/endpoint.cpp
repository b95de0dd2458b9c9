// Endpoints: opening, closing, and the steps of one request.
#include "../platform/machine.hpp"
#include "endpoint_service.hpp"

#include <belfry/detail/async/endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

endpoint::endpoint(net::any_io_executor executor, const ring_traits& traits, layout::role role,
                   const channel_options& options)
    : executor_(std::move(executor)),
      options_(options),
      me_(traits, role, this),
      fsm_(platform::processors() > 1 ? options.spin : std::chrono::nanoseconds::zero()) {}

endpoint::~endpoint() {
  if (service_ != nullptr) service_->remove(*this);
}

// ---- opening and closing ----------------------------------------------------------------------------

participant::begin_side endpoint::begin_side() {
  return [this](const ring_memory& memory, std::size_t slot) { attach(memory, slot); };
}

void endpoint::open(std::string_view name, failure& f, const subject& block) {
  me_.open(name, options_, f, begin_side(), block);
  if (!f) joined(f);
}

void endpoint::open(const segment_handles& handles, failure& f,
                    std::unique_ptr<manager_session> session) {
  me_.open(handles, options_, f, begin_side(), std::move(session));
  if (!f) joined(f);
}

void endpoint::joined(failure& f) {
  try {
    deaths_ = std::vector<watched>(me_.traits().participants());
    bell_.handle.emplace(executor_, me_.bell().handle());
    service_ = &net::use_service<endpoint_service>(net::query(executor_, net::execution::context));
    service_->add(*this);
  } catch (const net_system_error& e) {
    f = {e.code(), "register the bell with the reactor"};
    me_.undo_join();
    close();
  }
}

void endpoint::close() noexcept {
  if (me_.is_inherited()) return abandon();
  post_list posts;
  {
    const unique_lock lock(mutex_);
    abort_all(posts);
    stop_waits();
    bell_.handle.reset();
    me_.stop_watching();
  }
  if (me_.is_open()) closing();
  me_.leave();
  closed();
  posts.send(weak_from_this().lock());  // null only if nothing was ever pending
}

/// In the child of a fork: closes the handles. Pending operations belong to the parent. No lock is taken: a thread of
/// the parent may have held any lock during the fork.
void endpoint::abandon() noexcept {
  for (watched& death : deaths_) {
    if (death.handle) death.handle->abandon();
    death.handle.reset();
  }
  if (bell_.handle) bell_.handle->abandon();
  bell_.handle.reset();
  me_.abandon();
  closed();
}

// The context is being destroyed: no handler will be called again. A handler may own this endpoint, and close it from
// its destructor, so the operations are destroyed after the lock is released. Posted operations are owned by what was
// posted, and are destroyed with it.
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
  if (is_open()) peers().reap();
}

bool endpoint::has_peer() noexcept {
  const unique_lock lock(mutex_);
  if (!is_open()) return false;
  peers().reap();
  return peers().peer_came();
}

// ---- one request, step by step ------------------------------------------------------------------------

std::error_code endpoint::error_of(outcome o) const noexcept {
  switch (o) {
    case outcome::corrupted: return make_error_code(errc::corrupted);
    case outcome::too_large: return make_error_code(errc::message_too_large);
    case outcome::lagged: return make_error_code(errc::lagged);
    case outcome::denied: return std::make_error_code(std::errc::permission_denied);
    case outcome::unreachable: return peers().unreachable();
    case outcome::done:
    case outcome::would_block: break;
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
        const outcome o = wanted.try_once();
        result = error_of(o);
        next = fsm_.attempted(o != outcome::would_block);
        break;
      }
      case step::look: next = fsm_.looked(static_cast<bool>(peers().peek_event()), now()); break;
      case step::report:
        result = peers().peek_event();
        peers().take_event();
        if (result) return {progress::done, result};
        next = fsm_.begin();  // a peer has joined since the event was seen
        break;
      case step::linger:
        next = linger(wanted) ? fsm_.lingered(true) : fsm_.lingered(false, now());
        if (next == step::linger) return {progress::yield, {}};
        break;
      case step::park:
        next = fsm_.parked(!prepare_sleep(&wanted, posts));
        if (me_.error()) return {progress::done, me_.take_error()};
        break;
      case step::sleep: return {progress::sleep, {}};
      case step::unpark:
        me_.cancel_sleep();
        next = fsm_.unparked();
        break;
      case step::finish: return {progress::done, result};
    }
  }
}

/// `wanted` is null if only conditions are pending.
bool endpoint::prepare_sleep(request* wanted, post_list& posts) {
  return me_.prepare_sleep(wanted != nullptr, [&] {
    if (!conditions_.empty()) find_conditions(posts);
    return wanted != nullptr && (wanted->ready() || peers().peek_event());
  });
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
