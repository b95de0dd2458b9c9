#include "../platform.hpp"

#include <belfry/segment/doorbell.hpp>

namespace belfry::detail {
namespace {

/// Opens the ringing end of a named bell and makes sure that it is the one which the slot's owner
/// made, and not what another segment of this name has put in its place.
ringer::state open_named(const segment& s, std::size_t slot, unique_handle& out,
                         std::error_code& error) {
  const std::uint64_t id = s.slot(slot).bell.load(std::memory_order_relaxed);
  const std::string name = bell_name(s.name(), slot);
  out = platform::open_named_bell(name, error);
  if (out && platform::id_of(out) == id) return ringer::state::reachable;
  out.reset();
  const bool deserted = error == platform::nobody_listens;
  if (deserted && platform::named_bell_id(name) == id) return ringer::state::deserted;
  if (error && !deserted && error != std::errc::no_such_file_or_directory)
    return ringer::state::failed;

  // The name is gone, or a namesake's: the channel was unlinked. Those who take part in it go on.
  error.clear();
  const layout::participant_slot& owner = s.slot(slot);
  out =
      platform::open_bell_of_process(owner.pid.load(std::memory_order_relaxed),
                                     owner.bell_handle.load(std::memory_order_relaxed), id, error);
  if (error) return ringer::state::failed;
  if (out && platform::id_of(out) != id) out.reset();
  return out ? ringer::state::reachable : ringer::state::unreachable;
}

}  // namespace

doorbell doorbell::make(const segment& s, std::size_t slot, failure& f) {
  doorbell bell;
  if (s.named()) {
    bell.handle_ = platform::new_named_bell(bell_name(s.name(), slot), s.bell_mode(), f);
    if (bell.handle_) bell.id_ = platform::id_of(bell.handle_);
    platform::ownership users = platform::ownership_of(s.block());
    users.mode = s.bell_mode();
    if (bell.handle_ && !platform::give_to_users(bell.handle_, users, f)) {
      platform::unlink_named_bell(bell_name(s.name(), slot));
      bell.handle_.reset();
    }
  } else {
    bell.handle_ = platform::duplicate(s.anonymous_bell(slot));
    if (!bell.handle_)
      f = {std::make_error_code(std::errc::too_many_files_open), "duplicate a bell"};
  }
  if (bell.handle_) {
    platform::guard_against_fork(bell.handle_);
    bell.drain();  // of what was meant for a former owner
  }
  return bell;
}

void doorbell::drain() const noexcept { platform::drain_bell(handle_); }

// Its own end never hangs up, so it raises no signal, be it named or not.
void doorbell::ring() const noexcept { platform::ring_anonymous_bell(handle_); }

void doorbell::close() noexcept { handle_.reset(); }

ringer::state ringer::open(const segment& s, std::size_t slot, std::uint32_t generation,
                           ringer& out, std::error_code& error) {
  out.generation_ = generation;
  out.named_ = s.named();
  if (s.named()) return open_named(s, slot, out.handle_, error);
  out.handle_ = platform::duplicate(s.anonymous_bell(slot));
  if (out.handle_) return state::reachable;
  error = std::make_error_code(std::errc::too_many_files_open);
  return state::failed;
}

bool ringer::ring() const noexcept {
  return named_ ? platform::ring_named_bell(handle_) : platform::ring_anonymous_bell(handle_);
}

ringer::state watch_for_death(const segment& s, std::size_t slot, std::uint32_t generation,
                              unique_handle& out, std::error_code& error) {
  if (s.named()) return open_named(s, slot, out, error);
  const std::uint32_t pid = s.slot(slot).pid.load(std::memory_order_relaxed);
  if (!s.knows_pids() || pid == 0) return ringer::state::unreachable;  // a manager tells
  out = platform::watch_process(pid, error);
  // Had the owner died before the handle was there, its pid might be another's by now.
  const bool still_there =
      platform::is_locked_by_another(s.block(), layout::slot_lock(slot)) &&
      s.slot(slot).control.load(std::memory_order_acquire).generation == generation;
  if (!still_there) {
    out.reset();
    return ringer::state::deserted;
  }
  if (out) return ringer::state::reachable;
  // Locked, and no such process: only a slot that somebody has scribbled over.
  return error == std::errc::no_such_process ? ringer::state::unreachable : ringer::state::failed;
}

}  // namespace belfry::detail
