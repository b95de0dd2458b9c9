#include "endpoint_service.hpp"
#include "platform.hpp"
#include "run_queue.hpp"

#include <belfry/detail/endpoint.hpp>
#include <belfry/detail/pause.hpp>

#include <array>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

endpoint::endpoint(net::any_io_executor executor, const ring_traits& traits, layout::role role,
                   const channel_options& options)
    : executor_(std::move(executor)),
      traits_(traits),
      role_(role),
      options_(options),
      fsm_(platform::processors() > 1 ? options.spin : std::chrono::nanoseconds::zero()) {}

endpoint::~endpoint() = default;

// ---- opening and closing ----------------------------------------------------------------------------

void endpoint::open(std::string_view name, failure& f) {
  for (;;) {
    segment_ = segment::create_or_open(name, traits_, options_, f);
    if (f) return;
    roster_.emplace(segment_, role_);
    switch (roster_->join(f)) {
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
  if (roster_->join(f) == roster::joined::yes) joined(f);
}

void endpoint::joined(failure& f) {
  attach(segment_.ring());
  try {
    bell_.emplace(executor_, roster_->bell().handle(), waitable::kind::bell);
    service_ = &net::use_service<endpoint_service>(net::query(executor_, net::execution::context));
    service_->add(*this);
  } catch (const net_system_error& e) {
    f = {e.code(), "await the bell"};
    close();
  }
}

void endpoint::close() noexcept {
  operation_queue aborted;
  {
    const std::scoped_lock lock(mutex_);
    stop_waits();
    bell_.reset();
    death_.reset();
    death_handle_.reset();
    wait_set_.reset();
    death_told_ = false;
    // A drive that is on its way will find its operation cancelled; all others end here.
    operation* const driven = phase_ == phase::scheduled ? driven_ : nullptr;
    for (operation_queue* queue : {&transfers_, &peer_waits_}) {
      operation_queue pending(std::move(*queue));
      while (!pending.empty()) {
        operation& op = pending.pop();
        op.cancelled = true;
        (&op == driven ? *queue : aborted).push(op);
      }
    }
    if (driven == nullptr) {
      driven_ = nullptr;
      phase_ = phase::idle;
    }
  }
  if (service_ != nullptr) std::exchange(service_, nullptr)->remove(*this);
  if (roster_) {
    if (roster_->is_member()) flush();
    roster_->leave();
  }
  closed();
  while (!aborted.empty()) aborted.pop().post_completion(operation_aborted());
}

// The context goes: nobody will ever call a handler again.
void endpoint::shutdown() noexcept {
  std::unique_lock lock(mutex_);
  operation_queue transfers(std::move(transfers_));
  operation_queue peer_waits(std::move(peer_waits_));
  phase_ = phase::idle;
  driven_ = nullptr;
  bell_.reset();
  death_.reset();
  service_ = nullptr;
}

// ---- one request, step by step ------------------------------------------------------------------------

endpoint::clock::time_point endpoint::now() const {
  return fsm_.needs_time() ? clock::now() : clock::time_point{};
}

endpoint::progress endpoint::advance(request& wanted, step next) {
  std::error_code result;
  for (;;) {
    switch (next) {
      case step::attempt: {
        const attempt outcome = wanted.try_once();
        if (outcome == attempt::corrupted) result = make_error_code(errc::corrupted);
        if (outcome == attempt::too_large) result = make_error_code(errc::message_too_large);
        next = fsm_.attempted(outcome != attempt::would_block, now());
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
        next = fsm_.lingered(linger(wanted), now());
        if (next == step::linger) return {progress::yield, {}};
        break;
      case step::park:
        next = fsm_.parked(park_and_look(&wanted));
        if (wait_error_) {  // better to fail than to sleep without hearing of a death
          roster_->park().unpark();
          return {progress::done, std::exchange(wait_error_, {})};
        }
        break;
      case step::sleep: return {progress::sleep, {}};
      case step::unpark:
        roster_->park().unpark();
        next = fsm_.unparked();
        break;
      case step::finish: return {progress::done, result};
    }
  }
}

bool endpoint::linger(request& wanted) noexcept {
  for (int i = 0; i != 64; ++i) {
    if (wanted.ready()) return true;
    pause();
  }
  return false;
}

/// Steps W1 to W3 of parking.hpp. Without a request, only for those who wait for a peer.
bool endpoint::park_and_look(request* wanted) {
  flush();
  watch_successor();
  {
    const std::scoped_lock lock(mutex_);
    rung_ = false;
  }
  roster_->park().park();
  complete_peer_waits();
  if (wanted == nullptr) return false;
  return wanted->ready() || roster_->peek_event();
}

// ---- operations -----------------------------------------------------------------------------------------

void endpoint::submit(operation& op) {
  if (!is_open()) return op.post_completion(make_error_code(errc::closed));
  std::unique_lock lock(mutex_);
  const bool first = transfers_.empty();
  transfers_.push(op);
  if (!first) return;
  switch (phase_) {
    case phase::scheduled:
    case phase::running: return;  // for somebody who waits for a peer; goes on with this one
    case phase::waiting: roster_->park().unpark(); return schedule(lock, op);
    case phase::idle: break;
  }
  // Nothing is taken in here, and nothing completes; but whether to go to sleep can be seen at once.
  if (fsm_.needs_time() || op.ready() || roster_->peek_event()) return schedule(lock, op);
  phase_ = phase::running;
  driven_ = &op;
  lock.unlock();
  const bool something = park_and_look(&op);
  lock.lock();
  if (something || wait_error_) {
    roster_->park().unpark();
    return schedule(lock, op);
  }
  settle_to_sleep(lock, op);
}

void endpoint::submit_peer_wait(operation& op) {
  if (!is_open()) return op.post_completion(make_error_code(errc::closed));
  if (roster_->verify_live_peer()) return op.post_completion({});
  std::unique_lock lock(mutex_);
  peer_waits_.push(op);
  if (phase_ != phase::idle) {
    // Whoever is at work will look after parking; whoever sleeps is rung by every one who joins. One
    // who has joined since we looked may have rung before this operation was there.
    lock.unlock();
    return complete_peer_waits();
  }
  phase_ = phase::running;
  driven_ = &op;
  lock.unlock();
  park_and_look(nullptr);
  lock.lock();
  settle_to_sleep(lock, op);
}

/// The last step before sleep: unless the bell has rung since parking, or there is nobody left to
/// sleep for.
void endpoint::settle_to_sleep(std::unique_lock<std::mutex>& lock, operation& op) {
  const operation* next = head();
  if (next == &op && !rung_ && !death_told_ && !op.cancelled) {
    phase_ = phase::waiting;
    start_waits();
    return;
  }
  roster_->park().unpark();
  schedule_next(lock);
}

operation* endpoint::head() const noexcept {
  return !transfers_.empty() ? transfers_.front() : peer_waits_.front();
}

/// On some executor of nobody's choice: completes, through their own, those who wait for a peer that
/// is there now, and those who were cancelled.
void endpoint::complete_peer_waits() {
  const std::scoped_lock lock(mutex_);
  if (peer_waits_.empty()) return;
  const bool there = roster_->has_live_peer();
  operation_queue waiting(std::move(peer_waits_));
  while (!waiting.empty()) {
    operation& op = waiting.pop();
    if (!there && !op.cancelled) {
      peer_waits_.push(op);
      continue;
    }
    if (driven_ == &op) driven_ = nullptr;
    op.post_completion(op.cancelled ? operation_aborted() : std::error_code());
  }
}

void endpoint::cancel(std::uint64_t id) noexcept {
  std::unique_lock lock(mutex_);
  operation_queue& queue = transfers_.find(id) != nullptr ? transfers_ : peer_waits_;
  operation* op = queue.find(id);
  if (op == nullptr) return;
  op->cancelled = true;
  if (op == driven_ && phase_ != phase::waiting) return;  // the drive will see it, before it takes
  queue.remove(*op);
  if (phase_ == phase::waiting) {
    // Others who wait may want less than this one did.
    roster_->park().unpark();
    driven_ = nullptr;
    if (operation* const next = head(); next != nullptr) {
      schedule(lock, *next);
    } else {
      phase_ = phase::idle;
      stop_waits();
    }
  }
  if (lock.owns_lock()) lock.unlock();
  op->post_completion(operation_aborted());
}

void endpoint::cancel_all() noexcept {
  for (;;) {
    std::uint64_t id = 0;
    {
      const std::scoped_lock lock(mutex_);
      for (const operation_queue* queue : {&transfers_, &peer_waits_}) {
        for (operation* op = queue->front(); op != nullptr && id == 0; op = op->next) {
          if (!op->cancelled) id = op->id;
        }
      }
    }
    if (id == 0) return;
    cancel(id);
  }
}

void endpoint::kick() {
  std::unique_lock lock(mutex_);
  if (phase_ != phase::waiting || transfers_.empty()) return;
  roster_->park().unpark();
  schedule(lock, *transfers_.front());
}

// ---- driving ------------------------------------------------------------------------------------------------

void drive(endpoint& e) { e.drive(); }

/// Lets `op` be driven where its handler is to be called. Releases the lock.
void endpoint::schedule(std::unique_lock<std::mutex>& lock, operation& op, bool dispatch) {
  phase_ = phase::scheduled;
  driven_ = &op;  // from here on it is only marked when it is cancelled
  lock.unlock();
  if (run_queue::take_over(*this, op)) return;
  if (dispatch) {
    op.dispatch_drive(shared_from_this());
  } else {
    op.post_drive(shared_from_this());
  }
}

void endpoint::schedule_next(std::unique_lock<std::mutex>& lock) {
  driven_ = nullptr;
  if (operation* const next = head(); next != nullptr) return schedule(lock, *next);
  phase_ = phase::idle;
}

void endpoint::drive() {
  net::any_io_executor executor;
  {
    const std::scoped_lock lock(mutex_);
    if (driven_ == nullptr) return;  // closed meanwhile
    executor = driven_->coroutine_executor();
  }
  run_queue queue(std::move(executor));
  queue.run(*this);
}

void endpoint::drive_once() {
  std::unique_lock lock(mutex_);
  operation* const op = driven_;
  if (op == nullptr) return;
  phase_ = phase::running;
  const bool is_transfer = op == transfers_.front();
  const bool cancelled = op->cancelled;
  lock.unlock();

  handle_death();
  complete_peer_waits();
  if (!is_transfer) {  // on behalf of those who wait for a peer
    lock.lock();
    if (driven_ == nullptr) return schedule_next(lock);  // and do so no longer
    lock.unlock();
    park_and_look(nullptr);
    lock.lock();
    if (driven_ != nullptr) return settle_to_sleep(lock, *op);
    roster_->park().unpark();
    return schedule_next(lock);
  }
  if (cancelled) return finish(*op, operation_aborted());
  const progress p = advance(*op, fsm_.begin());
  switch (p.to) {
    case progress::done: return finish(*op, p.error);
    case progress::yield:
      lock.lock();
      phase_ = phase::scheduled;
      lock.unlock();
      return op->post_drive(shared_from_this());
    case progress::sleep: lock.lock(); return settle_to_sleep(lock, *op);
  }
}

void endpoint::finish(operation& op, std::error_code ec) {
  std::unique_lock lock(mutex_);
  transfers_.pop();
  schedule_next(lock);
  if (lock.owns_lock()) lock.unlock();
  op.complete(ec);
}

void endpoint::on_wait(waitable::kind what, std::uint32_t serial) {
  std::unique_lock lock(mutex_);
  if (what == waitable::kind::bell) {
    if (serial != bell_serial_) return;
    bell_on_ = false;
    rung_ = true;
  } else {
    if (serial != death_serial_) return;
    death_on_ = false;
    death_told_ = true;
  }
  if (phase_ != phase::waiting) return;
  roster_->park().unpark();
  if (operation* const next = head(); next != nullptr) return schedule(lock, *next, true);
  phase_ = phase::idle;  // the peer that was waited for was seen before its ring was heard
  stop_waits();
}

// ---- waiting --------------------------------------------------------------------------------------------------

void endpoint::start_waits() {
  const auto self = [this] {
    return std::shared_ptr<waitable::listener>(shared_from_this(),
                                               static_cast<waitable::listener*>(this));
  };
  if (!bell_on_) {
    bell_on_ = true;
    bell_->async_wait(self(), ++bell_serial_);
  }
  if (death_ && !death_on_) {
    death_on_ = true;
    death_->async_wait(self(), ++death_serial_);
  }
}

/// Waits that nobody waits for must not keep the context running.
void endpoint::stop_waits() noexcept {
  if (std::exchange(bell_on_, false)) {
    ++bell_serial_;
    bell_->cancel();
  }
  if (std::exchange(death_on_, false)) {
    ++death_serial_;
    death_->cancel();
  }
}

void endpoint::stop_waits_if_idle() noexcept {
  const std::scoped_lock lock(mutex_);
  if (phase_ == phase::idle) stop_waits();
}

void endpoint::watch_successor() {
  roster::watch watch = roster_->watch_successor();
  wait_error_ = watch.error;
  if (!watch.changed) return;
  const std::scoped_lock lock(mutex_);
  if (std::exchange(death_on_, false)) ++death_serial_;
  death_.reset();
  if (wait_set_ && death_handle_) platform::remove_from_wait_set(wait_set_, death_handle_.get());
  death_handle_ = std::move(watch.handle);
  if (!death_handle_) return;
  platform::guard_against_fork(death_handle_);
  if (wait_set_) platform::add_to_wait_set(wait_set_, death_handle_.get());
  try {
    if (bell_) death_.emplace(executor_, death_handle_.get(), waitable::kind::death);
  } catch (const net_system_error& e) {
    wait_error_ = e.code();
  }
}

void endpoint::handle_death() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    if (!std::exchange(death_told_, false)) return;
    death_.reset();
    if (wait_set_ && death_handle_) platform::remove_from_wait_set(wait_set_, death_handle_.get());
    death_handle_.reset();
  }
  roster_->successor_died();
}

// ---- without Asio -----------------------------------------------------------------------------------------------

std::error_code endpoint::block(request& wanted, clock::time_point deadline) {
  if (!is_open()) return make_error_code(errc::closed);
  if (phase_ != phase::idle) return std::make_error_code(std::errc::operation_in_progress);
  step next = fsm_.begin();
  for (;;) {
    const progress p = advance(wanted, next);
    if (p.to == progress::done) return p.error;
    next = step::linger;
    if (p.to == progress::yield) {
      if (clock::now() >= deadline) return timed_out();
      continue;
    }
    const std::array handles{roster_->bell().handle(), death_handle_.get()};
    const unsigned ready = platform::wait_any(handles, deadline);
    roster_->bell().drain();
    roster_->park().unpark();
    if ((ready & 2) != 0) {
      death_told_ = true;
      handle_death();
    }
    if (ready == 0) return timed_out();
    next = fsm_.begin();
  }
}

bool endpoint::prepare_wait() {
  struct : request {
    attempt try_once() noexcept override { return attempt::would_block; }
    bool ready() noexcept override { return self->ready() || self->corrupted(); }
    endpoint* self;
  } anything;
  anything.self = this;
  if (!is_open() || phase_ != phase::idle) return false;
  if (!park_and_look(&anything)) return true;
  roster_->park().unpark();
  return false;
}

std::error_code endpoint::finish_wait() {
  if (!is_open()) return make_error_code(errc::closed);
  if (phase_ != phase::idle) return std::make_error_code(std::errc::operation_in_progress);
  roster_->bell().drain();
  roster_->park().unpark();
  if (death_handle_) {
    const std::array handles{death_handle_.get()};
    if (platform::wait_any(handles, clock::now()) != 0) {
      death_told_ = true;
      handle_death();
    }
  }
  if (corrupted()) return make_error_code(errc::corrupted);
  const std::error_code event = roster_->peek_event();
  if (!event || ready()) return {};  // what is in the ring comes before the event
  roster_->take_event();
  return event;
}

native_handle_type endpoint::wait_handle() {
  if (!is_open()) return no_handle;
  if (!wait_set_) {
    failure f;
    wait_set_ = platform::new_wait_set(f);
    if (f) return no_handle;
    platform::add_to_wait_set(wait_set_, roster_->bell().handle());
    if (death_handle_) platform::add_to_wait_set(wait_set_, death_handle_.get());
  }
  return wait_set_.get();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
