// One connection to a manager's server, and the requests that it carries.
#pragma once

#include "../../base/deadline.hpp"
#include "../wire/address.hpp"
#include "channels.hpp"
#include "server_session.hpp"
#include "tracked_blocks.hpp"

#include <belfry/channel_handles.hpp>
#include <belfry/detail/manager/manager_service.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#else
#include <asio/read.hpp>
#include <asio/redirect_error.hpp>
#include <asio/write.hpp>
#endif

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

/// What a server has once it listens.
struct manager_service::parts {
  explicit parts(server_record record, unique_handle listening, const manager_address& at,
                 const strand& executor)
      : blocks(std::move(record)),
        listener(std::move(listening)),
        address(at),
        acceptor(executor) {}

  tracked_blocks blocks;
  managed_channels channels;
  unique_handle listener;  // lent to the acceptor
  manager_address address;
  net::basic_socket_acceptor<net::generic::stream_protocol, strand> acceptor;

  ~parts() { stop_listening(); }
  void stop_listening() noexcept {
    error_code ignored;
    if (acceptor.is_open()) acceptor.release(ignored);
    listener.reset();
  }
};

class manager_service::connection final : public std::enable_shared_from_this<connection>,
                                          private server_session::service {
 public:
  using socket_type = manager_service::socket;

  connection(manager_service& s, socket_type socket)
      : server_(s),
        socket_(std::move(socket)),
        timer_(s.strand_),
        session_(s.authkey_, s.md5_allowed_, s.options_.request_bytes, *this) {
    renew_deadline();
  }

  bool is_open() const noexcept { return socket_.is_open(); }
  /// The request for shutdown was carried out; its reply may still be on its way.
  bool has_ended_server() const noexcept { return ends_server_; }
  bool authenticated() const noexcept { return session_.authenticated(); }
  /// The other side has until then to complete the message that it is sending.
  std::chrono::steady_clock::time_point deadline() const noexcept { return deadline_; }
  void close() noexcept {
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

  net::awaitable<void> run() {
    while (session_.next() != conversation::step::done) {
      error_code ec;
      if (session_.next() == conversation::step::send) {
        co_await net::async_write(socket_, net::buffer(session_.output()),
                                  net::redirect_error(net::use_awaitable, ec));
        if (!ec) session_.sent();
      } else {
        const auto room = session_.input();
        co_await net::async_read(socket_, net::buffer(room.data(), room.size()),
                                 net::redirect_error(net::use_awaitable, ec));
        if (!ec) session_.received();
      }
      if (ec) break;
      renew_deadline();
      if (ends_server_ && session_.idle()) break;
      if (handles_due_ && session_.idle()) {
        const bool done = co_await hand_over();
        if (!done) break;
      }
    }
    close();
    // No other connection depends on what this client has left behind, except the other participants of its
    // channel.
    if (attended_) co_await part();
  }

 private:
  static constexpr auto for_ever = std::chrono::steady_clock::time_point::max();

  void renew_deadline() {
    deadline_ = session_.idle() && !handles_due_ ? for_ever : deadline_after(server_.options_.timeout);
    if (deadline_ != for_ever) server_.sweep_later();
  }

  /// Sends the handles of the channel, after the reply that announces them.
  net::awaitable<bool> hand_over() {
    for (;;) {
      failure f;
      if (try_send_handles(socket_.native_handle(), managed_channels::handles(*attended_), f))
        break;
      if (f) co_return false;
      error_code ec;
      co_await socket_.async_wait(socket_type::wait_write,
                                  net::redirect_error(net::use_awaitable, ec));
      if (ec) co_return false;
    }
    handles_due_ = false;
    renew_deadline();
    co_return true;
  }

  /// A participant that has not said that it leaves is dead, or will be as soon as the kernel has closed its
  /// last file. Then the others are alarmed.
  net::awaitable<void> part() {
    const auto channel = std::move(attended_);
    server_.parts_->channels.gone(*channel, drained_);
    if (left_) co_return;
    const auto self = shared_from_this();
    for (auto pause = std::chrono::milliseconds(1); pause < std::chrono::seconds(1); pause *= 2) {
      // Repeat even after a dead one was found: that may be another participant, whose slot is not free yet.
      managed_channels::alarm(*channel);
      if (server_.has_ended()) co_return;
      error_code ec;
      timer_.expires_after(pause);
      co_await timer_.async_wait(net::redirect_error(net::use_awaitable, ec));
    }
  }

  // ---- requests ----------------------------------------------------------------------------------------

  using arguments = std::vector<pickle::value>;

  reply serve(const client_request& r) override {
    struct method {
      std::string_view name;
      std::size_t least, most;  // arguments
      reply (connection::*carry_out)(const arguments&);
    };
    static constexpr method methods[]{
        {"dummy", 0, 0, &connection::dummy},
        {"number_of_objects", 0, 0, &connection::number_of_objects},
        {"debug_info", 0, 0, &connection::debug_info},
        {"track_segment", 1, 2, &connection::track_segment},
        {"release_segment", 1, 2, &connection::release_segment},
        {"list_segments", 0, 0, &connection::list_segments},
        {"shutdown", 0, 0, &connection::shutdown},
        {"belfry", 0, 0, &connection::belfry},
        {"join_channel", 4, 4, &connection::join_channel},
        {"leave_channel", 1, 1, &connection::leave_channel},
    };
    const auto found = std::find_if(std::begin(methods), std::end(methods),
                                    [&](const method& m) { return m.name == r.method; });
    if (found == std::end(methods))
      return refuse("AssertionError: '" + r.method + "' unrecognized");
    if (r.arguments.size() < found->least || r.arguments.size() > found->most) {
      return refuse("TypeError: " + r.method + "() with " + std::to_string(r.arguments.size()) +
                    " arguments");
    }
    return (this->*found->carry_out)(r.arguments);
  }

  static reply refuse(std::string error) {
    std::replace(error.begin(), error.end(), '\n', ' ');  // clients look at the last line only
    return {{}, "Traceback (most recent call last):\n" + error};
  }
  static reply refuse(const failure& f) {
    const bool ours = f.code.category() == error_category();
    return refuse((ours ? "belfry.errc: [Errno " : "OSError: [Errno ") +
                  std::to_string(f.code.value()) + "] " + f.what);
  }
  static const std::string* text(const pickle::value& v) { return std::get_if<std::string>(&v); }

  reply dummy(const arguments&) { return {}; }
  reply number_of_objects(const arguments&) { return {std::int64_t{0}, {}}; }
  reply debug_info(const arguments&) { return {std::string(), {}}; }
  /// By this request a client finds out that the server is Belfry's, and which requests it understands.
  reply belfry(const arguments&) { return {std::int64_t{1}, {}}; }

  /// CPython sends the name of an existing block. Our client also sends the inode of a block that will get
  /// the name.
  reply track_segment(const arguments& a) {
    std::uint64_t id = 0;
    if (!names_block(a, id)) return refuse("TypeError: track_segment(name)");
    failure f;
    if (!server_.parts_->blocks.track(*text(a[0]), id, f)) return refuse(f);
    return {};
  }

  /// The same arguments; our client uses it to give up a block that has not got its name.
  reply release_segment(const arguments& a) {
    std::uint64_t id = 0;
    if (!names_block(a, id)) return refuse("TypeError: release_segment(name)");
    failure f;
    if (server_.parts_->blocks.release(*text(a[0]), id, f)) return {};
    if (f.code == std::errc::no_such_file_or_directory) {
      return refuse("ValueError: list.remove(x): x not in list");
    }
    return refuse(f);
  }

  reply list_segments(const arguments&) {
    pickle::list names;
    for (std::string& name : server_.parts_->blocks.names())
      names.items.emplace_back(std::move(name));
    return {std::move(names), {}};
  }

  /// When the reply is sent, everything is removed, whether or not the client receives it.
  reply shutdown(const arguments&) {
    ends_server_ = true;
    server_.end();
    return {};
  }

  /// (name, layout::identity, description, 1 if any capacity is accepted). No ring kind: whatever channel there is.
  reply join_channel(const arguments& a) {
    described_segment wanted;
    const auto* const any_capacity = std::get_if<std::int64_t>(&a[3]);
    if (text(a[0]) == nullptr || text(a[1]) == nullptr || !from_text(*text(a[1]), wanted.id) ||
        text(a[2]) == nullptr || any_capacity == nullptr) {
      return refuse("TypeError: join_channel(name, identity, description, any_capacity)");
    }
    wanted.description = *text(a[2]);
    if (!server_.parts_->address.is_local())
      return refuse("TypeError: channels need a Unix socket");
    if (attended_) return refuse("ValueError: one channel per connection");
    failure f;
    attended_ = server_.parts_->channels.join(*text(a[0]), wanted, *any_capacity != 0, f);
    if (f) return refuse(f);
    handles_due_ = true;
    return {};
  }

  reply leave_channel(const arguments& a) {
    const auto* const drained = std::get_if<std::int64_t>(&a[0]);
    if (!attended_ || drained == nullptr) return refuse("ValueError: leave_channel(drained)");
    left_ = true;
    drained_ = *drained != 0;
    return {};
  }

  /// (name), or (name, inode in decimal)
  static bool names_block(const arguments& a, std::uint64_t& id) {
    if (text(a[0]) == nullptr) return false;
    if (a.size() == 1) return true;
    const std::string* const digits = text(a[1]);
    if (digits == nullptr) return false;
    const char* const end = digits->data() + digits->size();
    const auto [at, error] = std::from_chars(digits->data(), end, id);
    return error == std::errc() && at == end;
  }

  manager_service& server_;
  socket_type socket_;
  net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>,
                            strand>
      timer_;
  server_session session_;
  std::chrono::steady_clock::time_point deadline_ = for_ever;
  bool ends_server_ = false;
  std::shared_ptr<managed_channels::channel> attended_;
  bool handles_due_ = false;
  bool left_ = false;
  bool drained_ = false;
};

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
