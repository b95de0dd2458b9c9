// The server of a shared_memory_manager, for one's own io_context. `belfry serve` is this, as a program.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/manager/manager_service.hpp>
#include <belfry/error.hpp>

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// Owns the life of blocks for other processes, and hands out channels that have no name in the file
/// system. Who knows the key may be its client: shared_memory_manager, or CPython's SharedMemoryManager.
///
///     net::io_context io;
///     belfry::manager_server server(io, "/run/app/memory", key);
///     net::co_spawn(io, serve_something_else(), net::detached);
///     io.run();                                             // until a client, or close(), ends the server
///
/// The address is a path, `@name` for a socket of Linux's abstract namespace, or `host:port` with a
/// numeric host, or localhost; port 0 is any that is free (see address()). An empty one is a new path in
/// the run directory. Anything but the loopback must be asked for (manager_options::remote).
///
/// What the clients have had tracked is removed when the server ends: by close(), its destructor, or a
/// client's `shutdown`. If its process is killed, the next server at the same address removes what nobody
/// uses any more, and goes on with the rest; so does `belfry gc`, without going on.
///
/// A client that is slow, silent or hostile holds nobody up, and nothing that it sends is looked into
/// before it has proved that it knows the key. The wire format is that of CPython's
/// multiprocessing.managers, of which a server carries out `dummy`, `track_segment`, `release_segment`,
/// `list_segments`, `number_of_objects`, `debug_info` and `shutdown`.
///
/// Thread safety: distinct objects are safe; a shared one is not. Its context may have any number of
/// threads.
class manager_server {
 public:
  using executor_type = net::any_io_executor;

  /// Listens from here on. Throws std::system_error: `address_in_use`; `invalid_argument` for what is no
  /// address; `permission_denied` for one that is not the loopback's, unless asked for; what the
  /// system says.
  manager_server(const executor_type& executor, std::string_view address, std::string_view authkey,
                 const manager_options& options = {});
  manager_server(const executor_type& executor, std::string_view address, std::string_view authkey,
                 const manager_options& options, error_code& ec);
  template <std::derived_from<net::execution_context> Context, class... Arguments>
  manager_server(Context& context, Arguments&&... arguments)
      : manager_server(executor_type(context.get_executor()),
                       std::forward<Arguments>(arguments)...) {}

  /// What was moved from is as if it were closed.
  manager_server(manager_server&& other) noexcept
      : executor_(other.executor_), service_(std::move(other.service_)) {}
  manager_server& operator=(manager_server&& other) noexcept;
  ~manager_server();

  executor_type get_executor() const noexcept { return executor_; }

  /// Where clients find it: what was asked for, with the path or port that was chosen.
  std::string address() const { return service_ ? service_->address() : std::string(); }

  /// Removes all blocks that it is responsible for, and ends.
  void close() noexcept {
    if (service_) service_->end();
  }
  bool is_open() const noexcept { return service_ && service_->is_open(); }

  /// The names of those blocks, as they were tracked.
  std::vector<std::string> list_segments() const {
    return service_ ? service_->list_segments() : std::vector<std::string>();
  }

  /// Completes when the server has ended. Signature: void(error_code). Cancellation: every type,
  /// `operation_aborted`; the server goes on.
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
