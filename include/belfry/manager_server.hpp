// The server of a shared_memory_manager, for one's own io_context. `belfry serve` is this, as a program.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/manager/manager_service.hpp>
#include <belfry/error.hpp>
#include <belfry/manager_options.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// Owns the life of blocks for other processes, and hands out channels that have no name in the file system.
/// Any process that knows the key may be its client: shared_memory_manager, or CPython's SharedMemoryManager.
///
///     net::io_context io;
///     belfry::manager_server server(io, "/run/app/memory", key);
///     net::co_spawn(io, serve_something_else(), net::detached);
///     io.run();                                             // until a client, or close(), ends the server
///
/// The address is a path, `@name` for a socket in Linux's abstract namespace, or `host:port` with a numeric
/// host or localhost; port 0 chooses a free one (see address()). An empty address makes a new path in the run
/// directory. An address other than the loopback needs manager_options::remote.
///
/// When the server ends, by close(), its destructor, or a client's `shutdown`, it removes all tracked blocks.
/// If its process is killed, the next server at the same address removes the blocks that no process uses any
/// more, and tracks the others. `belfry gc` removes them as well, without tracking the others.
///
/// A slow, silent or hostile client holds up no other. Nothing that a client sends is interpreted before it
/// has proved that it knows the key. The wire format is that of CPython's multiprocessing.managers; a server
/// carries out `dummy`, `track_segment`, `release_segment`, `list_segments`, `number_of_objects`,
/// `debug_info` and `shutdown`.
///
/// Thread safety: distinct objects are safe; a shared one is not. Any number of threads may run its context.
class BELFRY_API manager_server {
 public:
  using executor_type = net::any_io_executor;

  /// Starts listening. Throws std::system_error: `address_in_use`; `invalid_argument` for a malformed
  /// address; `permission_denied` for an address other than the loopback without manager_options::remote;
  /// otherwise the system's error.
  manager_server(const executor_type& executor, std::string_view address, std::string_view authkey,
                 const manager_options& options = {});
  manager_server(const executor_type& executor, std::string_view address, std::string_view authkey,
                 const manager_options& options, error_code& ec);
  manager_server(const executor_type& executor, std::string_view address, std::string_view authkey,
                 error_code& ec)
      : manager_server(executor, address, authkey, manager_options{}, ec) {}
  template <std::derived_from<net::execution_context> Context, class... Arguments>
    requires std::constructible_from<manager_server, const executor_type&, Arguments...>
  manager_server(Context& context, Arguments&&... arguments)
      : manager_server(executor_type(context.get_executor()),
                       std::forward<Arguments>(arguments)...) {}

  /// A moved-from server behaves as a closed one.
  manager_server(manager_server&& other) noexcept
      : executor_(other.executor_), service_(std::move(other.service_)) {}
  manager_server& operator=(manager_server&& other) noexcept;
  ~manager_server();

  executor_type get_executor() const noexcept { return executor_; }

  /// The address for clients: as requested, with the path or port that was chosen.
  std::string address() const { return service_ ? service_->address() : std::string(); }

  /// Removes all blocks that it tracks, and ends the server.
  void close() noexcept {
    if (service_) service_->end();
  }
  bool is_open() const noexcept { return service_ && service_->is_open(); }

  /// The names of the tracked blocks, as clients gave them.
  std::vector<std::string> list_segments() const {
    return service_ ? service_->list_segments() : std::vector<std::string>();
  }

  /// Completes when the server has ended. Signature: void(error_code). Cancellation: every type,
  /// `operation_aborted`; the server keeps running.
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_wait(Token&& token = Token()) {
    return net::async_compose<Token, void(error_code)>(detail::manager_end_wait{service_}, token,
                                                       executor_);
  }

 private:
  executor_type executor_;
  std::shared_ptr<detail::manager_service> service_;
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
