#include "../platform/bell.hpp"
#include "../platform/block.hpp"
#include "../platform/handle.hpp"
#include "../platform/lock.hpp"
#include "../platform/process.hpp"

#include <belfry/detail/segment/doorbell.hpp>

namespace belfry::detail {
namespace {

/// Opens the notifier's end of a named bell: the bell that the slot's owner has made, not the bell that another segment
/// of this name has put in its place.
ringer::state open_named(const segment& s, std::size_t slot, unique_handle& out,
                         std::error_code& error) {
  const layout::participant_slot& owner = s.slot(slot);
  const std::string name = bell_name(s.name(), slot);
  const platform::named_bell bell{name, s.block(), owner.bell.load(std::memory_order_relaxed)};
  out = platform::open_named_bell(bell, error);
  if (out) return ringer::state::reachable;
  if (error == platform::nobody_listens) return ringer::state::deserted;
  if (error != std::errc::no_such_file_or_directory) return ringer::state::failed;

  // The name is gone, or means another segment's bell: the channel was unlinked. Its participants continue.
  out = platform::open_bell_of_process(owner.pid.load(std::memory_order_relaxed),
                                       owner.bell_handle.load(std::memory_order_relaxed), bell,
                                       error);
  if (out) return ringer::state::reachable;
  return error == std::errc::no_such_file_or_directory ? ringer::state::unreachable
                                                       : ringer::state::failed;
}

}  // namespace

doorbell doorbell::make(const segment& s, std::size_t slot, failure& f) {
  doorbell bell;
  const platform::no_fork until_guarded;
  if (s.named()) {
    bell.handle_ = platform::new_named_bell(bell_name(s.name(), slot), s.block(), s.bell_mode(), f);
    if (bell.handle_) bell.id_ = platform::id_of(bell.handle_);
  } else {
    std::error_code error;
    bell.handle_ = platform::open_anonymous_bell(s.anonymous_bell(slot), error);
    if (!bell.handle_) f = {error, "open a bell"};
  }
  if (bell.handle_) {
    platform::guard_against_fork(bell.handle_);
    bell.drain();  // of notifications for a former owner
  }
  return bell;
}

void doorbell::drain() const noexcept { platform::drain_bell(handle_); }

void doorbell::ring() const noexcept { platform::ring_own_bell(handle_.get()); }

void doorbell::close() noexcept { handle_.reset(); }

ringer::state ringer::open(const segment& s, std::size_t slot, std::uint32_t generation,
                           ringer& out, std::error_code& error) {
  out.close();
  state found = state::reachable;
  if (s.named()) {
    found = open_named(s, slot, out.own_, error);
    out.handle_ = out.own_.get();
  } else {
    out.handle_ = s.anonymous_bell(slot).get();
  }
  out.generation_ = generation;
  return found;
}

bool ringer::ring() const noexcept {
  if (own_) return platform::ring_bell(handle_);
  platform::ring_own_bell(handle_);
  return true;
}

void ringer::close() noexcept {
  own_.reset();
  handle_ = no_handle;
}

ringer::state watch_for_death(const segment& s, std::size_t slot, std::uint32_t generation,
                              unique_handle& out, std::error_code& error) {
  if (s.named()) return open_named(s, slot, out, error);
  const std::uint32_t pid = s.slot(slot).pid.load(std::memory_order_relaxed);
  if (!s.knows_pids() || pid == 0) return ringer::state::reachable;  // the manager reports deaths
  out = platform::watch_process(pid, error);
  // If the owner died before the handle was opened, its pid may belong to another process by now. So check the lock of
  // the slot. If there is no such process, the lock proves nothing: a forked child may not have released it yet.
  const bool still_there =
      error != std::errc::no_such_process &&
      platform::is_locked_by_another(s.block(), layout::slot_lock(slot)) &&
      s.slot(slot).control.load(std::memory_order_acquire).generation == generation;
  if (!still_there) {
    out.reset();
    return ringer::state::deserted;
  }
  return out ? ringer::state::reachable : ringer::state::failed;
}

}  // namespace belfry::detail
