// Starting programs.
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

/// A program that was started. Its pid is not reused until it is reaped.
struct child_process {
  std::uint32_t pid = 0;
  unique_handle handle;  // ready when the program has ended
};
/// Starts a program, in which descriptor `i` is a duplicate of `handles[i]`; nothing else is inherited.
/// SIGINT is blocked in it, until it calls ignore_interrupt() of tool.hpp.
child_process start_program(const std::string& path, std::span<const std::string> arguments,
                            std::span<const native_handle_type> handles, failure& f);
enum class how_to_end { please, now };
void end_process(const child_process& child, how_to_end how) noexcept;
/// Waits until the program has ended, and reaps it. False if the deadline comes first.
bool reap_process(child_process& child, std::chrono::steady_clock::time_point deadline) noexcept;

/// The program `belfry`: the one named by BELFRY_EXECUTABLE in the environment; else the one installed or
/// built with this library; else just its name.
std::string belfry_program();

}  // namespace belfry::platform
