// Bells: auto-reset events. The name of a bell is made of its identity, a random number in the slot, so that it is never
// another bell's, and there is nothing to remove: an event goes with its last handle.
#include "../bell.hpp"
#include "../machine.hpp"
#include "../process.hpp"
#include "security.hpp"
#include "system.hpp"

#include <array>
#include <cstdio>
#include <span>
#include <string>

namespace belfry::platform {
namespace {

std::array<wchar_t, 40> event_name(std::uint64_t id) {
  std::array<wchar_t, 40> name{};
  std::swprintf(name.data(), name.size(), L"Local\\belfry.bell.%08x%08x", static_cast<unsigned>(id >> 32),
                static_cast<unsigned>(id));
  return name;
}

std::error_code no_such_bell() { return std::make_error_code(std::errc::no_such_file_or_directory); }

failure unsupported() { return {std::make_error_code(std::errc::operation_not_supported), "a channel without a name"}; }

}  // namespace

made_bell new_named_bell(std::string_view name, const unique_handle&, unsigned mode, failure& f) {
  const access_list access(mode, f);
  for (int attempt = 0; !f && attempt != 8; ++attempt) {
    std::uint64_t id = 0;
    if (!fill_random(std::as_writable_bytes(std::span(&id, 1)), f)) break;
    if (id == 0) continue;
    SECURITY_ATTRIBUTES attributes = access.attributes();
    unique_handle bell(::CreateEventW(&attributes, FALSE, FALSE, event_name(id).data()));
    const DWORD error = ::GetLastError();
    if (bell && error != ERROR_ALREADY_EXISTS) return {std::move(bell), id};
    if (!bell && error != ERROR_ACCESS_DENIED && error != ERROR_INVALID_HANDLE) {
      fail(f, "create the bell \"" + std::string(name) + '"', error);
      break;
    }
  }
  if (!f) f = {std::make_error_code(std::errc::file_exists), "create the bell \"" + std::string(name) + '"'};
  return {};
}

notifying_end open_named_bell(const named_bell& which, std::error_code& error) noexcept {
  error = no_such_bell();
  if (which.id == 0) return {};
  notifying_end end;
  end.bell = unique_handle(::OpenEventW(EVENT_MODIFY_STATE, FALSE, event_name(which.id).data()));
  if (!end.bell) {
    error = error_of(::GetLastError());
    return {};
  }
  // A notifier that has it open keeps the event, so it does not show that its owner lives.
  std::error_code refused;
  end.owner = watch_process(which.owner, refused);
  if (end.owner && ::WaitForSingleObject(end.owner.get(), 0) == WAIT_TIMEOUT) {
    error.clear();
    return end;
  }
  error = !end.owner && refused != std::errc::no_such_process ? refused : std::make_error_code(nobody_listens);
  return {};
}

notifying_end open_bell_of_process(const named_bell&, std::error_code& error) noexcept {
  error = no_such_bell();
  return {};
}

void unlink_named_bell(std::string_view) noexcept {}
std::uint64_t named_bell_id(std::string_view) noexcept { return 0; }
bool is_deserted_bell(std::string_view) noexcept { return false; }

unique_handle new_anonymous_bell(failure& f) {
  f = unsupported();
  return {};
}
unique_handle open_anonymous_bell(const unique_handle&, std::error_code& error) noexcept {
  error = unsupported().code;
  return {};
}
bool is_anonymous_bell(const unique_handle&) noexcept { return false; }

// First the bell, then the look, in one call: an owner that dies after the look has been woken, or is found dead by the
// next notifier.
bool ring_bell(native_handle_type bell, native_handle_type owner) noexcept {
  return ::SignalObjectAndWait(bell, owner, 0, FALSE) != WAIT_OBJECT_0;
}

void ring_own_bell(native_handle_type bell) noexcept { ::SetEvent(bell); }

/// Nothing is left to take: every wait for an auto-reset event takes what it tells, also that of the pool or of a
/// foreign loop.
void drain_bell(const unique_handle&) noexcept {}

}  // namespace belfry::platform
