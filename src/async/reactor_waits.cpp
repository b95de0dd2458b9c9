#include <belfry/detail/async/reactor_waits.hpp>

#include <utility>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

void reactor_waits::open(native_handle_type bell, std::size_t slots) {
  deaths_ = std::vector<wait>(slots);
  bell_.handle.emplace(executor_, bell);
}

std::error_code reactor_waits::start(const std::shared_ptr<waitable::listener>& to_call) noexcept {
  any_running_ = true;
  std::error_code error = start(bell_, to_call, waitable::kind::bell, 0);
  for (std::size_t i = 0; i != deaths_.size(); ++i) {
    if (const auto e = start(deaths_[i], to_call, waitable::kind::death, i)) error = e;
  }
  return error;
}

std::error_code reactor_waits::start(wait& w, const std::shared_ptr<waitable::listener>& to_call,
                                     waitable::kind what, std::size_t slot) noexcept {
  if (w.running || !w.handle) return {};
  try {
    w.handle->async_wait(to_call, {what, static_cast<std::uint32_t>(slot), w.serial + 1});
  } catch (...) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
  // It may already end, in another thread, which waits for the endpoint's lock.
  w.running = true;
  ++w.serial;
  return {};
}

std::error_code reactor_waits::start_alarm(time_point time, const std::shared_ptr<waitable::listener>& to_call) noexcept {
  if (time >= alarm_time_) return {};
  try {
    if (!alarm_) alarm_.emplace(executor_);
    alarm_->async_wait(time, to_call, {waitable::kind::alarm, 0, ++alarm_serial_});
  } catch (...) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
  alarm_time_ = time;
  return {};
}

void reactor_waits::stop() noexcept {
  if (alarm_time_ != time_point::max()) {
    alarm_time_ = time_point::max();
    ++alarm_serial_;
    alarm_->cancel();
  }
  if (!std::exchange(any_running_, false)) return;
  stop(bell_);
  for (wait& death : deaths_) stop(death);
}

void reactor_waits::stop(wait& w) noexcept {
  if (!std::exchange(w.running, false)) return;
  ++w.serial;
  w.handle->cancel();
}

void reactor_waits::detach() noexcept {
  stop();
  if (bell_.handle) bell_.handle->detach();
}

bool reactor_waits::ended(const waitable::wait_id& which) noexcept {
  if (which.what == waitable::kind::alarm) {
    if (which.serial != alarm_serial_ || alarm_time_ == time_point::max()) return false;
    alarm_time_ = time_point::max();
    return true;
  }
  wait& w = which.what == waitable::kind::bell ? bell_ : deaths_[which.slot];
  return which.serial == w.serial && std::exchange(w.running, false);
}

void reactor_waits::close() noexcept {
  stop();
  alarm_.reset();
  bell_.handle.reset();
  for (wait& death : deaths_) death.handle.reset();
}

void reactor_waits::abandon() noexcept {
  const auto leave = [](wait& w) {
    if (w.handle) w.handle->abandon();
    w.handle.reset();
  };
  if (alarm_) alarm_->abandon();
  alarm_.reset();
  leave(bell_);
  for (wait& death : deaths_) leave(death);
}

std::error_code reactor_waits::watch(std::size_t slot, native_handle_type death) noexcept {
  try {
    deaths_[slot].handle.emplace(executor_, death);
    return {};
  } catch (const net_system_error& e) {
    return from_net(e.code());
  } catch (...) {
    return std::make_error_code(std::errc::not_enough_memory);
  }
}

void reactor_waits::unwatch(std::size_t slot) noexcept {
  wait& death = deaths_[slot];
  if (std::exchange(death.running, false)) ++death.serial;
  death.handle.reset();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
