// The implementation of manager_server.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/base/api.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/manager_options.hpp>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#else
#include <asio/basic_socket_acceptor.hpp>
#include <asio/basic_stream_socket.hpp>
#include <asio/bind_executor.hpp>
#include <asio/compose.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/steady_timer.hpp>
#include <asio/strand.hpp>
#endif

namespace belfry::detail {
class managed_channels;
class tracked_blocks;
}  // namespace belfry::detail

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// All members are used on its strand only, except the tracked blocks.
class manager_service : public std::enable_shared_from_this<manager_service> {
 public:
  manager_service(net::any_io_executor executor, std::string_view authkey,
                  const manager_options& options);
  ~manager_service();
  manager_service(const manager_service&) = delete;
  manager_service& operator=(const manager_service&) = delete;

  void start(std::string_view address, failure& f);
  BELFRY_API void end() noexcept;
  /// In the child of a fork: the server belongs to the parent.
  bool is_inherited() const noexcept {
    return fork_generation_ != fork_generation.load(std::memory_order_relaxed);
  }
  BELFRY_API bool is_open() const noexcept;
  bool has_ended() const noexcept { return ended_.load(std::memory_order_acquire); }

  const net::any_io_executor& executor() const noexcept { return executor_; }
  const std::string& address() const noexcept { return address_; }
  BELFRY_API std::vector<std::string> list_segments() const;

  using strand = net::strand<net::any_io_executor>;
  const strand& own_strand() const noexcept { return strand_; }
  /// Never expires; cancelled when the server ends.
  net::steady_timer& end_timer() noexcept { return end_timer_; }

 private:
  class connection;
  struct parts;

  using socket = net::basic_stream_socket<net::generic::stream_protocol, strand>;

  void accept();
  void accepted(error_code ec, socket connected);
  void welcome(std::shared_ptr<connection> c);
  bool make_room();
  void sweep_later();
  void sweep();
  void close_connections() noexcept;

  net::any_io_executor executor_;
  strand strand_;
  net::steady_timer end_timer_;
  net::steady_timer sweep_timer_;
  net::steady_timer accept_timer_;
  bool sweeping_ = false;
  std::string authkey_;
  manager_options options_;
  bool md5_allowed_ = false;
  bool listening_ = false;
  std::string address_;
  std::uint64_t socket_id_ = 0;  // inode of the socket at a path
  std::unique_ptr<parts> parts_;
  std::list<std::shared_ptr<connection>> connections_;  // oldest first
  std::atomic<bool> ended_{false};
  std::mutex accepting_;  // held while the acceptor is used
  unsigned fork_generation_ = fork_generation.load(std::memory_order_relaxed);
};

/// void(error_code): the server has ended.
struct manager_end_wait {
  std::shared_ptr<manager_service> service;
  enum class state { starting, on_strand, over, finishing } at = state::starting;

  template <class Self>
  void operator()(Self& self, error_code = {}) {
    switch (std::exchange(at, next(at))) {
      case state::starting:
        self.reset_cancellation_state(net::enable_total_cancellation());
        if (!service) {  // a moved-from server
          at = state::finishing;
          return net::post(std::move(self));
        }
        return net::post(net::bind_executor(service->own_strand(), std::move(self)));
      case state::on_strand: {
        if (service->has_ended() ||
            self.get_cancellation_state().cancelled() != net::cancellation_type::none) {
          return (*this)(self);
        }
        const auto keep = service;
        return keep->end_timer().async_wait(
            net::bind_executor(keep->own_strand(), std::move(self)));
      }
      case state::over: return net::post(std::move(self));  // to the executor of its handler
      case state::finishing: break;
    }
    const bool ended = !service || service->has_ended();
    service.reset();
    self.complete(ended ? error_code() : to_net(operation_aborted()));
  }

  static state next(state s) { return s == state::finishing ? s : state(static_cast<int>(s) + 1); }
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
