// A process that owns the life of shared blocks: the twin of CPython's SharedMemoryManager.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/manager/manager_call.hpp>
#include <belfry/detail/manager/manager_service.hpp>
#include <belfry/error.hpp>
#include <belfry/manager_options.hpp>
#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>

#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belfry::inline BELFRY_ASIO_FLAVOUR {
class shared_memory_manager;
}

namespace belfry::detail {
const client_ptr& client_of(const shared_memory_manager& manager) noexcept;
}

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

/// Makes blocks that a server process removes when it is shut down, or when the process that started it dies.
///
///     belfry::shared_memory_manager mgr;
///     mgr.start();                                             // a process of its own
///     auto block = mgr.shared_memory(1 << 20);
///     auto results = mgr.shareable_list({0, 0, 0});
///     std::thread(work, mgr.address(), mgr.authkey());         // or another program, or Python
///     mgr.shutdown();                                          // the destructor does it, too
///
///     auto same = belfry::shared_memory_manager::connect(address, authkey);
///
/// The server is a manager_server (`belfry serve`) or CPython's; it can connect to both. A process that knows
/// address and key may ask for anything, including shutdown. With Belfry's server a process may be killed at
/// any point: every block is still removed.
///
/// The blocking forms wait 20 seconds at most (`timed_out`); the server must then run in another process or
/// another thread. All forms wait for a server that is slow to accept connections. The `async_` forms take
/// any completion token and complete with the error code first. They use the executor that the manager was
/// made with, or else Asio's system_executor, which has threads of its own. Any number may be pending.
/// Cancelling one, by any type, completes it with `operation_aborted`; the server may have carried out the
/// request, but a block that it made is removed.
///
/// Errors, thrown as std::system_error or set in the last argument:
///   `not_connected`               neither started nor connected, or shut down
///   `already_connected`           start() of a manager that has a server
///   `errc::authentication_failed` the server has another key, or proves it only by MD5 (manager_options::md5)
///   `errc::protocol_error`        the other side sent what the protocol does not allow, or refused
///   `connection_refused`, `no_such_file_or_directory`, `connection_reset`: there is no server, or it has ended
///   and those of shared_memory and shareable_list.
///
/// Thread safety: distinct objects are safe; a shared one is not. Movable, not copyable. A forked child may
/// use its copy; destroying that copy ends no server.
class BELFRY_API shared_memory_manager {
  using list_value = belfry::shareable_list::value;

 public:
  using executor_type = net::any_io_executor;

  shared_memory_manager();
  explicit shared_memory_manager(const executor_type& executor);
  template <std::derived_from<net::execution_context> Context>
  explicit shared_memory_manager(Context& context)
      : shared_memory_manager(executor_type(context.get_executor())) {}
  /// A moved-from manager has no server.
  shared_memory_manager(shared_memory_manager&&) noexcept;
  shared_memory_manager& operator=(shared_memory_manager&&) noexcept;
  /// If it has started a server: shuts it down; if the server does not answer, kills it and cleans up.
  ~shared_memory_manager();

  executor_type get_executor() const noexcept { return executor_; }

  /// Starts a server: the program `belfry`. It is looked for where the environment variable BELFRY_EXECUTABLE
  /// says, where it was installed with this library, and in the PATH. The server ends with this process,
  /// however that ends; an interrupt from the terminal does not reach it. If no address and key are given, it
  /// gets ones that no other process knows.
  void start(const manager_options& options = {});
  void start(const manager_options& options, error_code& ec);
  void start(error_code& ec) { start({}, ec); }
  void start(std::string_view address, std::string_view authkey,
             const manager_options& options = {});
  void start(std::string_view address, std::string_view authkey, const manager_options& options,
             error_code& ec);
  void start(std::string_view address, std::string_view authkey, error_code& ec) {
    start(address, authkey, {}, ec);
  }

  /// Connects to a running server.
  static shared_memory_manager connect(std::string_view address, std::string_view authkey,
                                       const manager_options& options = {});
  static shared_memory_manager connect(std::string_view address, std::string_view authkey,
                                       const manager_options& options, error_code& ec);
  static shared_memory_manager connect(std::string_view address, std::string_view authkey,
                                       error_code& ec) {
    return connect(address, authkey, {}, ec);
  }

  /// Complete when the server is started, or connected. Signature: void(error_code).
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_start(Token&& token = Token()) {
    return run<detail::nothing>(starting({}), std::forward<Token>(token));
  }
  template <class Token>
  auto async_start(const manager_options& options, Token&& token) {
    return run<detail::nothing>(starting(options), std::forward<Token>(token));
  }
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_start(std::string_view address, std::string_view authkey, Token&& token = Token()) {
    return run<detail::nothing>(starting(address, authkey, {}), std::forward<Token>(token));
  }
  template <class Token>
  auto async_start(std::string_view address, std::string_view authkey,
                   const manager_options& options, Token&& token) {
    return run<detail::nothing>(starting(address, authkey, options), std::forward<Token>(token));
  }
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_connect(std::string_view address, std::string_view authkey, Token&& token = Token()) {
    return run<detail::nothing>(connecting(address, authkey, {}), std::forward<Token>(token));
  }
  template <class Token>
  auto async_connect(std::string_view address, std::string_view authkey,
                     const manager_options& options, Token&& token) {
    return run<detail::nothing>(connecting(address, authkey, options), std::forward<Token>(token));
  }

  /// Creates a block, which the server removes when it ends. An empty name is replaced by a free one.
  belfry::shared_memory shared_memory(std::size_t bytes, std::string_view name = {});
  belfry::shared_memory shared_memory(std::size_t bytes, std::string_view name, error_code& ec);
  belfry::shared_memory shared_memory(std::size_t bytes, error_code& ec) {
    return shared_memory(bytes, {}, ec);
  }
  /// Signature: void(error_code, belfry::shared_memory).
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_shared_memory(std::size_t bytes, Token&& token = Token()) {
    return run<belfry::shared_memory>(making_block(bytes, {}), std::forward<Token>(token));
  }
  template <class Token>
  auto async_shared_memory(std::size_t bytes, std::string_view name, Token&& token) {
    return run<belfry::shared_memory>(making_block(bytes, name), std::forward<Token>(token));
  }

  /// Creates a list, likewise. Also throws what belfry::shareable_list throws.
  belfry::shareable_list shareable_list(std::span<const list_value> values,
                                        std::string_view name = {});
  belfry::shareable_list shareable_list(std::span<const list_value> values, std::string_view name,
                                        error_code& ec);
  belfry::shareable_list shareable_list(std::span<const list_value> values, error_code& ec) {
    return shareable_list(values, {}, ec);
  }
  belfry::shareable_list shareable_list(std::initializer_list<list_value> values,
                                        std::string_view name = {}) {
    return shareable_list(std::span(values), name);
  }
  belfry::shareable_list shareable_list(std::initializer_list<list_value> values,
                                        std::string_view name, error_code& ec) {
    return shareable_list(std::span(values), name, ec);
  }
  belfry::shareable_list shareable_list(std::initializer_list<list_value> values, error_code& ec) {
    return shareable_list(std::span(values), {}, ec);
  }
  /// Signature: void(error_code, belfry::shareable_list). A value that no list can hold fails with
  /// `invalid_argument`.
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_shareable_list(std::span<const list_value> values, Token&& token = Token()) {
    return run<belfry::shareable_list>(making_list(values, {}), std::forward<Token>(token));
  }
  template <class Token>
  auto async_shareable_list(std::span<const list_value> values, std::string_view name, Token&& token) {
    return run<belfry::shareable_list>(making_list(values, name), std::forward<Token>(token));
  }

  /// The names of the blocks that the server tracks.
  std::vector<std::string> list_segments();
  std::vector<std::string> list_segments(error_code& ec);
  /// Signature: void(error_code, std::vector<std::string>).
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_list_segments(Token&& token = Token()) {
    return run<std::vector<std::string>>(listing(), std::forward<Token>(token));
  }

  /// Removes one of them now. `no_such_file_or_directory`: the server does not track it.
  void release(std::string_view name);
  void release(std::string_view name, error_code& ec);
  void release(const belfry::shared_memory& block) { release(block.name()); }
  void release(const belfry::shared_memory& block, error_code& ec) { release(block.name(), ec); }
  /// Signature: void(error_code).
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_release(std::string_view name, Token&& token = Token()) {
    return run<detail::nothing>(releasing(name), std::forward<Token>(token));
  }
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_release(const belfry::shared_memory& block, Token&& token = Token()) {
    return async_release(block.name(), std::forward<Token>(token));
  }

  /// Removes all of them and ends the server, whether this manager started it or shares it with others. A
  /// server that it started has exited when this returns. The manager can be started again.
  void shutdown();
  void shutdown(error_code& ec);
  /// Signature: void(error_code).
  template <class Token = net::default_completion_token_t<executor_type>>
  auto async_shutdown(Token&& token = Token()) {
    return run<detail::nothing>(shutting_down(), std::forward<Token>(token));
  }

  /// What other processes need to connect; empty without a server.
  std::string address() const;
  std::string authkey() const;
  bool is_connected() const noexcept;

 private:
  friend const detail::client_ptr& detail::client_of(const shared_memory_manager&) noexcept;

  detail::call_ptr<detail::nothing> starting(const manager_options& options);
  detail::call_ptr<detail::nothing> starting(std::string_view address, std::string_view authkey,
                                             const manager_options& options);
  detail::call_ptr<detail::nothing> connecting(std::string_view address, std::string_view authkey,
                                               const manager_options& options);
  detail::call_ptr<belfry::shared_memory> making_block(std::size_t bytes, std::string_view name);
  detail::call_ptr<belfry::shareable_list> making_list(std::span<const list_value> values,
                                                       std::string_view name);
  detail::call_ptr<std::vector<std::string>> listing();
  detail::call_ptr<detail::nothing> releasing(std::string_view name);
  detail::call_ptr<detail::nothing> shutting_down();

  template <class Result, class Token>
  auto run(detail::call_ptr<Result> call, Token&& token) {
    return detail::initiate_call(executor_, std::move(call), std::forward<Token>(token));
  }

  executor_type executor_;
  detail::client_ptr client_;
};

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
