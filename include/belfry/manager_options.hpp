// How a manager's server is started.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>

namespace belfry {

/// What a manager's server permits, and its limits: for a manager_server, and for the server that
/// shared_memory_manager::start() starts. A client that connects needs only `md5`.
///
///     belfry::manager_options options;
///     options.run_directory = "/run/app";
///     belfry::manager_server server(io, "/run/app/memory", key, options);
struct manager_options {
  /// Whether it may listen at an address that other machines can reach.
  bool remote = false;

  /// CPython to 3.11 can prove that it knows the key only by MD5. Not set: permitted for Unix sockets only.
  std::optional<bool> md5{};

  /// The most connections. Beyond them, a connection that has not proved that it knows the key is closed for
  /// a new one.
  std::size_t connections = 1024;

  /// The longest request, in bytes.
  std::size_t request_bytes = 64 << 10;

  /// The time for the proof, and for the rest of a request once it has begun. `nanoseconds::max()`: no limit.
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);

  /// The directory of the record by which others clean up after a server that was killed. Empty: /run/belfry
  /// for root, else $XDG_RUNTIME_DIR/belfry, /run/user/UID/belfry or /tmp/belfry-UID.
  std::string run_directory{};
};

}  // namespace belfry
