// Programs that are started.
#pragma once

#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

namespace belfry::platform {

using detail::failure;
using detail::unique_handle;

/// A program that was started. Its number stays its own until it is reaped.
struct child_process {
  std::uint32_t pid = 0;
  unique_handle handle;  // ready when it has ended
};
/// Starts a program, whose handle `i` is what `handles[i]` is here; nothing else is inherited. An
/// interrupt from the terminal is held back from it until it says otherwise.
child_process start_program(const std::string& path, std::span<const std::string> arguments,
                            std::span<const native_handle_type> handles, failure& f);
/// Lets an interrupt from the terminal pass by, and takes what was held back.
void ignore_interrupt() noexcept;
enum class how_to_end { please, now };
void end_process(const child_process& child, how_to_end how) noexcept;
/// Waits, and forgets it. False if the time has come before.
bool reap_process(child_process& child, std::chrono::steady_clock::time_point deadline) noexcept;

/// The program `belfry`: what the environment (BELFRY_EXECUTABLE) says, or what was installed, or built,
/// together with this library, or just its name.
std::string belfry_program();

}  // namespace belfry::platform
