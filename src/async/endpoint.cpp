// Endpoints: opening and closing, and the one loop that does what the queue decides.
#include "../platform/machine.hpp"
#include "../segment/log.hpp"
#include "endpoint_service.hpp"

#include <belfry/detail/async/endpoint.hpp>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

endpoint::endpoint(net::any_io_executor executor, const ring_traits& traits, layout::role role,
                   const channel_options& options)
    : executor_(std::move(executor)),
      options_(options),
      me_(traits, role, &waits_),
      queue_(platform::processors() > 1 ? options.spin : std::chrono::nanoseconds::zero()),
      waits_(executor_) {}

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
    waits_.open(me_.bell().handle(), me_.segment().participants());
    service_ = &net::use_service<endpoint_service>(net::query(executor_, net::execution::context));
    service_->add(*this);
  } catch (const net_system_error& e) {
    f = {from_net(e.code()), "register the bell with the reactor"};
    log_refusal(me_.segment().name(), f);
    me_.undo_join();
    close();
  }
}

void endpoint::close() noexcept {
  if (me_.is_inherited()) return abandon();
  post_list posts;
  {
    const std::lock_guard lock(mutex_);
    carry_out(queue_.all_cancelled());
    posts = queue_.take_due().posts;
    wake_up();
    waits_.close();
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
  waits_.abandon();
  me_.abandon();
  closed();
}

// The context is being destroyed: no handler will be called again. A handler may own this endpoint, and close it from
// its destructor, so the operations are destroyed after the lock is released. Posted operations are owned by what was
// posted, and are destroyed with it.
void endpoint::shutdown() noexcept {
  std::unique_lock lock(mutex_);
  service_ = nullptr;
  waits_.close();
  const operation_list here = queue_.shut_down();
  lock.unlock();
}

void endpoint::reap() noexcept {
  const std::lock_guard lock(mutex_);
  if (is_open()) peers().reap();
}

bool endpoint::has_peer() noexcept {
  const std::lock_guard lock(mutex_);
  if (!is_open()) return false;
  peers().reap();
  return peers().peer_came();
}

// ---- errors -------------------------------------------------------------------------------------------

std::error_code endpoint::error_of(outcome o) const noexcept {
  switch (o) {
    case outcome::corrupted:
      log(log_level::error, "corrupted", me_.segment().name(),
          {{"role", name_of(me_.role())}, {"slot", digits(peers().slot())}});
      return make_error_code(errc::corrupted);
    case outcome::too_large: return make_error_code(errc::message_too_large);
    case outcome::lagged: return make_error_code(errc::lagged);
    case outcome::wrong_size:
      log(log_level::error, "wrong size", me_.segment().name(),
          {{"role", name_of(me_.role())}, {"expected", digits(me_.segment().ring().value_bytes)}});
      return std::make_error_code(std::errc::invalid_argument);
    case outcome::denied: return std::make_error_code(std::errc::permission_denied);
    case outcome::unreachable: return peers().unreachable();
    case outcome::no_server: return make_error_code(errc::no_server);
    case outcome::overloaded: return make_error_code(errc::overloaded);
    case outcome::done:
    case outcome::would_block: break;
  }
  return {};
}

// ---- operations: what has happened ----------------------------------------------------------------------

namespace {

void rethrow(const std::exception_ptr& error) {
  if (error) std::rethrow_exception(error);
}

}  // namespace

/// Completes an operation that never was in the queue.
void endpoint::refuse(operation& op, std::error_code why) {
  op.over = true;
  op.result = why;
  op.post(nullptr);
}

void endpoint::submit(operation& op, bool looked) {
  if (!is_open()) return refuse(op, make_error_code(errc::closed));
  rethrow(handle([&] { return op.at_once ? begin(op) : queue_.submitted(op, looked); }, &op));
}

/// A call enters the ring within its initiating function, unless others wait for a place. It takes nothing there, and
/// completes later.
endpoint::step endpoint::begin(operation& op) {
  if (!op.is_begun() && !queue_.has_transfers()) {
    const outcome o = op.try_once();
    if (o != outcome::would_block) return queue_.refused(op, error_of(o));
  } else if (op.is_expired()) {  // or else there is a time to look again at
    return queue_.refused(op, {});
  }
  const bool may_linger = queue_.is_idle() && queue_.needs_time();
  op.is_condition = op.is_begun() && !may_linger;
  return queue_.submitted(op, true);
}

void arrive(operation& op, std::shared_ptr<endpoint> e) {
  if (e == nullptr) return op.complete();
  e->arrived(op);
}

void endpoint::arrived(operation& op) {
  rethrow(handle([&] { return queue_.arrived(op); }));
}

void lose(operation& op, std::shared_ptr<endpoint> e) noexcept {
  if (e != nullptr) e->lost(op);
  op.destroy();
}

void endpoint::lost(operation& op) noexcept {
  handle([&] { return queue_.lost(op); });
}

void endpoint::cancel(std::uint64_t id) noexcept {
  handle([&] { return queue_.cancelled(id); });
}

void endpoint::cancel_all() noexcept {
  handle([&] { return queue_.all_cancelled(); });
}

void endpoint::retry() noexcept {
  if (queue_.is_idle()) return;  // as after almost every message; without the lock
  handle([&] { return queue_.retried(); });
}

void endpoint::look_at_conditions() noexcept {
  if (queue_.is_idle()) return;  // without the lock
  handle([&] { return queue_.changed(); });
}

void endpoint::on_wait(const waitable::wait_id& which) {
  rethrow(handle([&] {
    if (!waits_.ended(which)) return step::rest;
    switch (which.what) {
      case waitable::kind::bell: me_.heard_bell(); break;
      case waitable::kind::death: me_.heard_death(which.slot); break;
      case waitable::kind::alarm: break;
    }
    return queue_.woken();
  }));
}

// ---- operations: the one loop ---------------------------------------------------------------------------

/// Decides under the lock, acts on the ring, and releases the lock before it posts operations and calls a handler. The
/// exception is one of post(): of any operation, or of `whose`.
template <class Event>
std::exception_ptr endpoint::handle(Event event, const operation* whose) {
  op_queue::due due;
  {
    const std::lock_guard lock(mutex_);
    carry_out(event());
    if (next_look_.load(std::memory_order_relaxed) < waits_.alarm_time()) [[unlikely]]
      start_alarm();
    due = queue_.take_due();
    if (!queue_.is_waiting()) wake_up();
    // The handler may start an operation that needs the waits.
    if (queue_.is_idle() && due.finished == nullptr) waits_.stop();
  }
  std::exception_ptr error;
  if (!due.posts.empty()) error = due.posts.send(shared_from_this(), whose);
  if (due.finished != nullptr) {
    struct resting {
      ~resting() { e.rest_if_idle(); }
      endpoint& e;
    } const after_the_handler{*this};
    due.finished->complete();
  }
  return error;
}

/// If it cannot, an operation ends with the error, and the others try again.
void endpoint::start_alarm() {
  while (queue_.is_waiting()) {
    const std::error_code error = waits_.start_alarm(next_look_.load(std::memory_order_relaxed),
                                                     {shared_from_this(), static_cast<listener*>(this)});
    if (!error) return;
    carry_out(queue_.armed(error));
  }
}

void endpoint::carry_out(step next) {
  for (;;) {
    switch (next) {
      default: next = advance(next); break;
      case step::drive:
        time_slice_.begin();
        wake_up();
        me_.handle_deaths();
        if (!queue_.has_transfers()) hand_off();  // woken for something that no operation here takes
        next = queue_.driven();
        break;
      case step::yield: next = queue_.yielded(); break;
      case step::arm: next = queue_.armed(waits_.start({shared_from_this(), static_cast<listener*>(this)})); break;
      case step::hand_off:
        wake_up();
        hand_off();
        return;
      case step::finish:
      case step::rest: return;
    }
  }
}

/// The steps that an operation and a blocking call have in common.
endpoint::step endpoint::advance(step next) {
  for (;;) {
    switch (next) {
      case step::attempt: {
        const outcome o = queue_.current()->try_once();
        next = queue_.tried(o == outcome::would_block, error_of(o));
        break;
      }
      case step::look:  // no event ends the wait for a reply, or for a dead item
        next = queue_.looked(!queue_.current()->is_begun() && peers().peek_event(), now());
        break;
      case step::report: {
        const std::error_code event = peers().peek_event();
        peers().take_event();
        next = queue_.reported(event);
        break;
      }
      case step::linger:
        next = linger(*queue_.current()) ? queue_.lingered(true) : queue_.lingered(false, now());
        break;
      case step::park: next = prepare_sleep(); break;
      default: return next;
    }
  }
}

endpoint::step endpoint::prepare_sleep() {
  const bool for_ring = queue_.current() != nullptr && !queue_.current()->is_begun();
  next_look_.store(clock::time_point::max(), std::memory_order_relaxed);
  look_again_at(wakes_at());
  asleep_ = me_.prepare_sleep(for_ring, [&] {
    return queue_.look_again() || (for_ring && peers().peek_event());
  });
  const std::error_code error = me_.take_error();
  const step next = queue_.parked(asleep_, error, me_.woken());
  if (error && !queue_.has_transfers()) hand_off();
  return next;
}

void endpoint::wake_up() noexcept {
  if (std::exchange(asleep_, false)) me_.cancel_sleep();
}

/// Hands the wake-up off to another consumer, if this one was woken for an item and has no operation to take it.
void endpoint::hand_off() noexcept {
  if (is_open() && me_.traits().competing && me_.take_wake_up() && ready()) peers().hand_off();
}

void endpoint::rest_if_idle() noexcept {
  if (!queue_.is_idle()) return;
  const std::lock_guard lock(mutex_);
  if (queue_.is_idle()) waits_.stop();
}

endpoint::clock::time_point endpoint::now() const {
  return queue_.needs_time() ? clock::now() : clock::time_point{};
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
