#include "../platform/bell.hpp"
#include "../platform/block.hpp"
#include "../platform/handle.hpp"
#include "../platform/lock.hpp"
#include "../platform/process.hpp"

#include <belfry/detail/segment/doorbell.hpp>

namespace belfry::detail {
namespace {

/// A handle of a process that was opened by the pid in the slot may be another process's: if the owner died before it
/// was opened. So check the lock of the slot.
bool is_still_there(const segment& s, std::size_t slot, std::uint32_t generation) {
  return platform::is_locked_by_another(s.block(), layout::slot_lock(slot)) &&
         s.slot(slot).control.load(std::memory_order_acquire).generation == generation;
}

/// Opens the notifier's end of a named bell: the bell that the slot's owner has made, not the bell that another segment
/// of this name has put in its place.
ringer::state open_named(const segment& s, std::size_t slot, std::uint32_t generation, platform::notifying_end& out,
                         std::error_code& error) {
  const layout::participant_slot& owner = s.slot(slot);
  const std::string name = bell_name(s.name(), slot);
  const platform::named_bell bell{name, s.block(), owner.bell.load(std::memory_order_relaxed),
                                  owner.pid.load(std::memory_order_relaxed),
                                  owner.bell_handle.load(std::memory_order_relaxed)};
  out = platform::open_named_bell(bell, error);
  if (!out.bell) {
    if (error == platform::nobody_listens) return ringer::state::deserted;
    if (error != std::errc::no_such_file_or_directory) return ringer::state::failed;
    // The name is gone, or means another segment's bell: the channel was unlinked. Its participants continue.
    out = platform::open_bell_of_process(bell, error);
  }
  if (!out.bell) {
    return error == std::errc::no_such_file_or_directory ? ringer::state::unreachable
                                                         : ringer::state::failed;
  }
  if (!out.owner || is_still_there(s, slot, generation)) return ringer::state::reachable;
  out = {};
  return ringer::state::deserted;
}

}  // namespace

doorbell doorbell::make(const segment& s, std::size_t slot, failure& f) {
  doorbell bell;
  const platform::no_fork until_guarded;
  if (s.named()) {
    platform::made_bell made = platform::new_named_bell(bell_name(s.name(), slot), s.block(), s.bell_mode(), f);
    bell.handle_ = std::move(made.handle);
    bell.id_ = made.id;
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
    platform::notifying_end end;
    found = open_named(s, slot, generation, end, error);
    out.own_ = std::move(end.bell);
    out.owner_ = std::move(end.owner);
    out.handle_ = out.own_.get();
  } else {
    out.handle_ = s.anonymous_bell(slot).get();
  }
  out.generation_ = generation;
  return found;
}

bool ringer::ring() const noexcept {
  if (own_) return platform::ring_bell(handle_, owner_.get());
  platform::ring_own_bell(handle_);
  return true;
}

void ringer::close() noexcept {
  own_.reset();
  owner_.reset();
  handle_ = no_handle;
}

ringer::state watch_for_death(const segment& s, std::size_t slot, std::uint32_t generation,
                              unique_handle& out, std::error_code& error) {
  if (s.named()) {
    platform::notifying_end end;
    const ringer::state found = open_named(s, slot, generation, end, error);
    out = std::move(end.owner ? end.owner : end.bell);
    return found;
  }
  const std::uint32_t pid = s.slot(slot).pid.load(std::memory_order_relaxed);
  if (!s.knows_pids() || pid == 0) return ringer::state::reachable;  // the manager reports deaths
  out = platform::watch_process(pid, error);
  // If there is no such process, the lock proves nothing: a forked child may not have released it yet.
  if (error == std::errc::no_such_process || !is_still_there(s, slot, generation)) {
    out.reset();
    return ringer::state::deserted;
  }
  return out ? ringer::state::reachable : ringer::state::failed;
}

}  // namespace belfry::detail
