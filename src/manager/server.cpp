// A manager's server: connections, and what is carried out for them.
#include "../platform.hpp"
#include "../random_digits.hpp"
#include "address.hpp"
#include "channels.hpp"
#include "endpoint_of.hpp"
#include "server_session.hpp"
#include "tracked_blocks.hpp"

#include <belfry/channel_handles.hpp>
#include <belfry/manager_server.hpp>

#include <algorithm>
#include <charconv>
#include <thread>

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

using protocol = net::generic::stream_protocol;
using steady_clock = std::chrono::steady_clock;

struct manager_service::parts {
  explicit parts(server_record record, unique_handle listening, const manager_address& at,
                 const strand& executor)
      : blocks(std::move(record)),
        listener(std::move(listening)),
        address(at),
        acceptor(executor) {}

  tracked_blocks blocks;
  managed_channels channels;
  unique_handle listener;  // the acceptor borrows it
  manager_address address;
  net::basic_socket_acceptor<protocol, strand> acceptor;

  ~parts() { stop_listening(); }
  void stop_listening() noexcept {
    error_code ignored;
    if (acceptor.is_open()) acceptor.release(ignored);
    listener.reset();
  }
};

// ---- one connection -----------------------------------------------------------------------------------

class manager_service::connection final : public std::enable_shared_from_this<connection>,
                                          private server_session::service {
 public:
  using socket_type = manager_service::socket;

  connection(manager_service& s, socket_type socket)
      : server_(s),
        socket_(std::move(socket)),
        timer_(s.strand_),
        session_(s.authkey_, s.md5_allowed_, s.options_.request, *this) {
    renew_patience();
  }

  bool is_open() const noexcept { return socket_.is_open(); }
  /// Its answer is on its way.
  bool has_ended_server() const noexcept { return ends_server_; }
  bool authenticated() const noexcept { return session_.authenticated(); }
  /// Nothing is expected of the other side before then.
  steady_clock::time_point patience_ends() const noexcept { return patience_ends_; }
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
      renew_patience();
      if (ends_server_ && session_.idle()) break;
      if (handles_due_ && session_.idle()) {
        const bool done = co_await hand_over();
        if (!done) break;
      }
    }
    close();
    // Nobody waits for what a client has left behind; only channels are concerned with its end.
    if (attended_) co_await part();
  }

 private:
  static constexpr auto for_ever = steady_clock::time_point::max();

  void renew_patience() {
    patience_ends_ = session_.idle() && !handles_due_
                         ? for_ever
                         : steady_clock::now() + server_.options_.patience;
    if (patience_ends_ != for_ever) server_.sweep_later();
  }

  /// The handles of the channel, behind the reply that announces them.
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
    renew_patience();
    co_return true;
  }

  /// A participant that has not said that it leaves is dead, or will be as soon as the kernel has closed its
  /// last file. Then the others are told.
  net::awaitable<void> part() {
    const auto channel = std::move(attended_);
    server_.parts_->channels.gone(*channel, drained_);
    if (left_) co_return;
    const auto self = shared_from_this();
    for (auto pause = std::chrono::milliseconds(1); pause < std::chrono::seconds(1); pause *= 2) {
      if (managed_channels::alarm(*channel) || server_.has_ended()) co_return;
      error_code ec;
      timer_.expires_after(pause);
      co_await timer_.async_wait(net::redirect_error(net::use_awaitable, ec));
    }
  }

  // ---- requests ----------------------------------------------------------------------------------------

  using arguments = std::vector<pickle::value>;

  reply serve(const request& r) override {
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
        {"join_channel", 3, 3, &connection::join_channel},
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
    std::replace(error.begin(), error.end(), '\n', ' ');  // clients look at the last line
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
  /// How a client of ours finds out that the server is one, too, and which requests it understands.
  reply belfry(const arguments&) { return {std::int64_t{1}, {}}; }

  /// CPython gives the name of a block that is there; we also give the inode of one that will be.
  reply track_segment(const arguments& a) {
    std::uint64_t id = 0;
    if (text(a[0]) == nullptr ||
        (a.size() > 1 && (text(a[1]) == nullptr || !number(*text(a[1]), id)))) {
      return refuse("TypeError: track_segment(name)");
    }
    failure f;
    if (!server_.parts_->blocks.track(*text(a[0]), id, f)) return refuse(f);
    return {};
  }

  /// The same: one of our clients gives up a block that has not got its name.
  reply release_segment(const arguments& a) {
    std::uint64_t id = 0;
    if (text(a[0]) == nullptr ||
        (a.size() > 1 && (text(a[1]) == nullptr || !number(*text(a[1]), id)))) {
      return refuse("TypeError: release_segment(name)");
    }
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

  /// When it is answered, all is gone; also if the one who has asked does not hear of it.
  reply shutdown(const arguments&) {
    ends_server_ = true;
    server_.end();
    return {};
  }

  /// (name, layout::identity, 1 if any capacity will do)
  reply join_channel(const arguments& a) {
    layout::identity wanted;
    const auto* const any_capacity = std::get_if<std::int64_t>(&a[2]);
    if (text(a[0]) == nullptr || text(a[1]) == nullptr || !from_text(*text(a[1]), wanted) ||
        any_capacity == nullptr) {
      return refuse("TypeError: join_channel(name, identity, any_capacity)");
    }
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

  static bool number(const std::string& digits, std::uint64_t& out) {
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return error == std::errc() && end == digits.data() + digits.size();
  }

  manager_service& server_;
  socket_type socket_;
  net::basic_waitable_timer<steady_clock, net::wait_traits<steady_clock>, strand> timer_;
  server_session session_;
  steady_clock::time_point patience_ends_ = for_ever;
  bool ends_server_ = false;
  std::shared_ptr<managed_channels::channel> attended_;
  bool handles_due_ = false;
  bool left_ = false;
  bool drained_ = false;
};

// ---- the server ---------------------------------------------------------------------------------------

manager_service::manager_service(net::any_io_executor executor, std::string_view authkey,
                                 const manager_options& options)
    : executor_(executor),
      strand_(executor),
      end_timer_(executor, steady_clock::time_point::max()),
      sweep_timer_(executor),
      accept_timer_(executor),
      authkey_(authkey),
      options_(options) {}

manager_service::~manager_service() = default;

void manager_service::start(std::string_view wanted, failure& f) {
  std::string directory = options_.run_directory;
  if (directory.empty()) {
    directory = platform::run_directory(f);
  } else {
    platform::use_directory(directory, f);
  }
  if (f) return;
  manager_address address = manager_address::parse(
      wanted.empty() ? directory + "/manager-" + random_digits(16) : std::string(wanted), f);
  if (f) return;
  if (!address.is_local() && !address.is_loopback() && !options_.remote) {
    f = {std::make_error_code(std::errc::permission_denied),
         "other machines can reach \"" + address.text() + "\", which must be asked for"};
    return;
  }
  md5_allowed_ = options_.md5.value_or(address.is_local());

  // Where the port is still to be chosen, there is no predecessor: the record comes second.
  const bool port_to_choose = !address.is_local() && address.port == 0;
  server_record record;
  if (!port_to_choose) record = server_record::create(directory, address.text(), f);
  if (f) return;
  const protocol::endpoint endpoint = endpoint_of(address);
  unique_handle listener = platform::listen_socket(bytes_of(endpoint), f);
  // One that has just been killed has its socket for a moment longer than its record.
  for (int attempt = 0;
       attempt != 20 && f.code == std::errc::address_in_use && record.had_predecessor();
       ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    f = {};
    listener = platform::listen_socket(bytes_of(endpoint), f);
  }
  if (f) {
    f.what += " at \"" + address.text() + '"';
    if (record && record.blocks().empty()) record.discard();
    return;
  }
  if (port_to_choose) {
    address.port = platform::port_of(listener);
    record = server_record::create(directory, address.text(), f);
    if (f) return;
  }
  platform::guard_against_fork(listener);
  address_ = address.text();
  if (address.kind == manager_address::family::path) socket_id_ = platform::file_id(address.name);
  parts_ = std::make_unique<parts>(std::move(record), std::move(listener), address, strand_);
  error_code ec;
  parts_->acceptor.assign(endpoint.protocol(), parts_->listener.get(), ec);
  if (ec) {
    f = {ec, "listen at \"" + address_ + '"'};
    return;
  }
  listening_ = true;
  accept();
}

// Whoever sees the end of it finds nothing left, and the address free, whether the context still runs or not.
// The connections belong to its threads.
void manager_service::end() noexcept {
  if (!parts_ || is_inherited() || ended_.exchange(true, std::memory_order_acq_rel)) return;
  // Nobody else can have made a socket in the place of ours: we have the record.
  if (socket_id_ != 0 && platform::file_id(parts_->address.name) == socket_id_) {
    platform::remove_file(parts_->address.name);
  }
  {
    const std::scoped_lock lock(accepting_);
    parts_->stop_listening();
  }
  parts_->blocks.unlink_all();
  net::post(strand_, [self = shared_from_this()] { self->close_connections(); });
}

void manager_service::close_connections() noexcept {
  for (const auto& c : connections_) {
    if (!c->has_ended_server()) c->close();
  }
  sweep_timer_.cancel();
  end_timer_.cancel();
}

bool manager_service::is_open() const noexcept { return listening_ && !has_ended(); }

std::vector<std::string> manager_service::list_segments() const {
  return parts_ ? parts_->blocks.names() : std::vector<std::string>();
}

void manager_service::accept() {
  const std::scoped_lock lock(accepting_);
  if (has_ended()) return;
  parts_->acceptor.async_accept(net::bind_executor(
      strand_, [self = shared_from_this()](const error_code& ec, socket connected) {
        self->accepted(ec, std::move(connected));
      }));
}

void manager_service::accepted(const error_code& ec, socket connected) {
  if (has_ended()) return;
  if (!ec) {
    if (connections_.size() < options_.connections || make_room()) {
      welcome(std::make_shared<connection>(*this, std::move(connected)));
    }
    return accept();
  }
  // No descriptors, no memory: better in a moment, or when somebody has been sent away.
  make_room();
  accept_timer_.expires_after(std::chrono::milliseconds(20));
  accept_timer_.async_wait(
      net::bind_executor(strand_, [self = weak_from_this()](const error_code&) {
        if (const auto service = self.lock()) service->accept();
      }));
}

void manager_service::welcome(std::shared_ptr<connection> c) {
  const auto place = connections_.insert(connections_.end(), c);
  net::co_spawn(strand_, c->run(), [self = shared_from_this(), place](std::exception_ptr) {
    self->connections_.erase(place);
  });
}

/// Sends away whoever has been here longest without having proved anything.
bool manager_service::make_room() {
  const auto stranger = std::find_if(connections_.begin(), connections_.end(), [](const auto& c) {
    return !c->authenticated() && c->is_open();
  });
  if (stranger == connections_.end()) return false;
  (*stranger)->close();
  return true;
}

/// Somebody's patience will end. One timer serves all; it rests when nobody waits for anybody.
void manager_service::sweep_later() {
  if (std::exchange(sweeping_, true)) return;
  sweep_timer_.expires_after(options_.patience / 4);
  sweep_timer_.async_wait(
      net::bind_executor(strand_, [self = weak_from_this()](const error_code& ec) {
        if (const auto service = self.lock(); service && !ec) service->sweep();
      }));
}

void manager_service::sweep() {
  sweeping_ = false;
  const auto now = steady_clock::now();
  bool somebody = false;
  for (const auto& c : connections_) {
    if (c->patience_ends() <= now) {
      c->close();
    } else {
      somebody |= c->patience_ends() != steady_clock::time_point::max();
    }
  }
  if (somebody) sweep_later();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

manager_server::manager_server(const executor_type& executor, std::string_view address,
                               std::string_view authkey, const manager_options& options)
    : service_(std::make_shared<detail::manager_service>(executor, authkey, options)) {
  detail::failure f;
  service_->start(address, f);
  if (f) f.raise();
}

manager_server::manager_server(const executor_type& executor, std::string_view address,
                               std::string_view authkey, const manager_options& options,
                               error_code& ec)
    : service_(std::make_shared<detail::manager_service>(executor, authkey, options)) {
  detail::failure f;
  service_->start(address, f);
  ec = detail::to_net(f.code);
}

manager_server::~manager_server() {
  if (!service_) return;
  service_->end();
  // In the child of a fork even to let go of it would reach into the parent's reactor.
  if (service_->is_inherited()) new std::shared_ptr<detail::manager_service>(std::move(service_));
}

manager_server& manager_server::operator=(manager_server&& other) noexcept {
  if (this != &other) {
    const manager_server old(std::move(*this));
    service_ = std::move(other.service_);
  }
  return *this;
}

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
