// Being told what happens in channels: joins, deaths, refusals.
#pragma once

#include <belfry/detail/base/api.hpp>

#include <span>
#include <string_view>

namespace belfry {

enum class log_level {
  debug,    ///< the course of things: a segment was created, a participant has joined or left
  warning,  ///< a participant has died, was refused, or cannot be notified
  error,    ///< the shared memory is corrupted
};

struct log_field {
  std::string_view key;
  std::string_view value;
};

/// Something that this process has done or noticed.
///
/// | event         | level   | fields                                    | when                                          |
/// |---------------|---------|-------------------------------------------|-----------------------------------------------|
/// | `created`     | debug   | `bytes`                                   | this process has created the segment          |
/// | `joined`      | debug   | `role`, `slot`                            | an endpoint of this process has joined        |
/// | `left`        | debug   | `role`, `slot`                            | an endpoint of this process has left          |
/// | `removed`     | debug   |                                           | the last participant has removed the segment  |
/// | `died`        | warning | `role`, `slot`, `pid`                     | this process has found a participant dead     |
/// | `refused`     | warning | `error`, `text`                           | an endpoint of this process could not join    |
/// | `unreachable` | warning | `slot`, `error`                           | the bell of a participant cannot be opened    |
/// | `corrupted`   | error   | `role`, `slot`                            | another process has written nonsense          |
struct log_entry {
  log_level level;
  std::string_view event;
  std::string_view channel;  ///< its name; empty if it has none
  std::span<const log_field> fields;
};

/// Called in the thread in which it happens, perhaps while Belfry holds a lock: it must not use Belfry, and must not
/// block. The texts are gone when it returns.
using log_function = void (*)(const log_entry&) noexcept;

/// Sets the function that is called, for the whole process; nullptr: none. Returns the one before. Thread-safe.
///
///     belfry::set_log([](const belfry::log_entry& e) noexcept {
///       if (e.level != belfry::log_level::debug) my_logger(e.event, e.channel);
///     });
///
/// At first there is none; or, if the environment has BELFRY_LOG=debug, =warning or =error, print_log() for entries of
/// that level or above it. Programs with changed privileges ignore the environment.
BELFRY_API log_function set_log(log_function function) noexcept;

/// Prints an entry as one line to standard error:
///
///     belfry: debug: joined ticks role=consumer slot=1
BELFRY_API void print_log(const log_entry& entry) noexcept;

}  // namespace belfry
