// A request to a manager as a sequence of steps; its driver only has to wait between them.
#pragma once

#include <belfry/asio.hpp>
#include <belfry/detail/platform/native_handle.hpp>
#include <belfry/error.hpp>
#include <belfry/shareable_list.hpp>
#include <belfry/shared_memory.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#else
#include <asio/basic_stream_socket.hpp>
#include <asio/compose.hpp>
#include <asio/generic/stream_protocol.hpp>
#endif

namespace belfry::detail {

class manager_client;

class manager_call {
 public:
  /// What to wait for: until the socket can be read from, or written to.
  enum class wait { to_read, to_write, none };

  manager_call() = default;
  virtual ~manager_call() = default;
  manager_call(const manager_call&) = delete;
  manager_call& operator=(const manager_call&) = delete;

  /// Does all it can without waiting. `none`: the call is over, see error().
  virtual wait proceed() = 0;
  virtual native_socket_type socket() const noexcept = 0;
  /// Ends the call with this error; the server may or may not have carried out the request.
  void give_up(const std::error_code& why) { error_ = {why, "wait for the manager"}; }
  const failure& error() const noexcept { return error_; }

 protected:
  failure error_;
};

/// Drives a call in this thread.
void complete(manager_call& call, std::chrono::steady_clock::time_point deadline);

/// A call with a result.
template <class Result>
class manager_call_for : public manager_call {
 public:
  Result take_result() { return std::move(result_); }

 protected:
  Result result_{};
};
struct nothing {};

template <class Result>
using call_ptr = std::unique_ptr<manager_call_for<Result>>;
using client_ptr = std::shared_ptr<manager_client>;

}  // namespace belfry::detail

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// A socket that belongs to a call, lent to Asio while it is waited for.
class borrowed_socket {
 public:
  using type = net::basic_stream_socket<net::generic::stream_protocol>;

  explicit borrowed_socket(const net::any_io_executor& executor) : socket_(executor) {}
  ~borrowed_socket() { give_back(); }
  borrowed_socket(const borrowed_socket&) = delete;
  borrowed_socket& operator=(const borrowed_socket&) = delete;

  type& borrow(native_socket_type handle, error_code& ec) {
    socket_.assign(net::generic::stream_protocol(0, 0), handle, ec);
    return socket_;
  }
  void give_back() noexcept {
    error_code ignored;
    if (socket_.is_open()) socket_.release(ignored);
  }

 private:
  type socket_;
};

/// Drives a call in the reactor. Signature: void(error_code, Result), or void(error_code).
template <class Result>
struct manager_operation {
  call_ptr<Result> call;
  std::unique_ptr<borrowed_socket> socket;  // destroyed before the call; its address must not change
  bool started = false;

  template <class Self>
  void operator()(Self& self, error_code ec = {}) {
    if (!std::exchange(started, true)) {  // the initiating function does nothing itself
      self.reset_cancellation_state(net::enable_total_cancellation());
      return net::post(std::move(self));
    }
    socket->give_back();
    const bool cancelled =
        self.get_cancellation_state().cancelled() != net::cancellation_type::none;
    if (cancelled || ec) call->give_up(operation_aborted());
    const auto until = call->error() ? manager_call::wait::none : call->proceed();
    if (until != manager_call::wait::none) {
      auto& s = socket->borrow(call->socket(), ec);
      if (!ec) {
        const auto what = until == manager_call::wait::to_read ? borrowed_socket::type::wait_read
                                                               : borrowed_socket::type::wait_write;
        return s.async_wait(what, std::move(self));
      }
      call->give_up(ec);
    }
    const error_code result = to_net(call->error().code);
    if constexpr (std::is_same_v<Result, nothing>) {
      call.reset();
      self.complete(result);
    } else {
      Result value = result ? Result() : call->take_result();
      call.reset();
      self.complete(result, std::move(value));
    }
  }
};

template <class Result>
struct manager_signature {
  using type = void(error_code, Result);
};
template <>
struct manager_signature<nothing> {
  using type = void(error_code);
};

template <class Result, class Token>
auto initiate_call(const net::any_io_executor& executor, call_ptr<Result> call, Token&& token) {
  using waiting = manager_operation<Result>;
  return net::async_compose<Token, typename manager_signature<Result>::type>(
      waiting{std::move(call), std::make_unique<borrowed_socket>(executor)}, token, executor);
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
