// Locks on single bytes, which the kernel drops when their handle is closed, at the latest when its process ends.
//
// They belong to a handle, as open file description locks belong to a description. They are mandatory: other handles
// could not read a byte that is locked. So byte n of the layout is byte 2^62 + 2n of the file, beyond any end. A lock is
// one byte long and a probe two: a handle that holds a lock may also lock it shared, and giving that back must not give
// back the other one, which has the same place, but not the same length.
#include "../lock.hpp"
#include "lock_offset.hpp"
#include "system.hpp"


namespace belfry::platform {
namespace {

OVERLAPPED position(std::uint64_t at) noexcept {
  OVERLAPPED where{};
  where.Offset = static_cast<DWORD>(at);
  where.OffsetHigh = static_cast<DWORD>(at >> 32);
  return where;
}

bool lock(const unique_handle& block, std::uint64_t at, std::uint64_t bytes, DWORD flags) noexcept {
  OVERLAPPED where = position(at);
  return ::LockFileEx(block.get(), flags, 0, static_cast<DWORD>(bytes), static_cast<DWORD>(bytes >> 32), &where) != 0;
}

void unlock(const unique_handle& block, std::uint64_t at, std::uint64_t bytes) noexcept {
  OVERLAPPED where = position(at);
  ::UnlockFileEx(block.get(), 0, static_cast<DWORD>(bytes), static_cast<DWORD>(bytes >> 32), &where);
}

/// There is no way to ask. A shared lock is granted unless there is an exclusive one; two probes do not see each other.
/// If the probe fails for another reason, assume the lock is held: to take a living process for dead would be the worse
/// mistake.
bool is_held(const unique_handle& block, std::uint64_t at, std::uint64_t bytes) noexcept {
  if (!lock(block, at, bytes, LOCKFILE_FAIL_IMMEDIATELY)) return true;
  unlock(block, at, bytes);
  return false;
}

}  // namespace

bool lock_byte(const unique_handle& block, std::uint64_t offset, failure& f) {
  if (lock(block, place_of_lock(offset), 1, LOCKFILE_EXCLUSIVE_LOCK)) return true;
  fail(f, "lock byte " + std::to_string(offset));
  return false;
}

/// Another process may be probing the lock at this moment, which takes microseconds.
bool try_lock_byte(const unique_handle& block, std::uint64_t offset) noexcept {
  for (int attempt = 0; attempt != 4; ++attempt) {
    if (attempt != 0 && ::SwitchToThread() == 0) ::Sleep(attempt == 3 ? 1 : 0);
    if (lock(block, place_of_lock(offset), 1, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY)) return true;
  }
  return false;
}

void unlock_byte(const unique_handle& block, std::uint64_t offset) noexcept { unlock(block, place_of_lock(offset), 1); }

bool is_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept {
  return is_held(block, place_of_lock(offset), 2);
}

bool is_any_locked_by_another(const unique_handle& block, std::uint64_t offset) noexcept {
  return is_held(block, place_of_lock(offset), first_lock - 2 * offset);
}

}  // namespace belfry::platform
