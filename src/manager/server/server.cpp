// A manager's server: listens, and admits clients.
#include "../../platform/file.hpp"
#include "../../platform/handle.hpp"
#include "../../platform/socket.hpp"
#include "../wire/endpoint_of.hpp"
#include "connection.hpp"

#include <belfry/manager_server.hpp>

#include <algorithm>
#include <thread>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

using protocol = net::generic::stream_protocol;
using steady_clock = std::chrono::steady_clock;

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

namespace {

/// If the program has closed a standard stream, an accepted socket may have got its number.
template <class Socket>
void keep_above_standard(Socket& connected, error_code& ec) {
  if (!platform::is_standard(connected.native_handle())) return;
  const protocol its_protocol = connected.local_endpoint(ec).protocol();
  if (ec) return;
  unique_handle handle = platform::above_standard(connected.release(ec));
  if (!ec && !handle) ec = net::error::no_descriptors;
  if (!ec) connected.assign(its_protocol, handle.get(), ec);
  if (!ec) handle.release();
}

}  // namespace

void manager_service::start(std::string_view wanted, failure& f) {
  std::string directory = options_.run_directory;
  if (directory.empty()) {
    directory = platform::run_directory(f);
  } else {
    platform::use_directory(directory, f);
  }
  if (f) return;
  manager_address address =
      wanted.empty() ? manager_address::unused(directory, f) : manager_address::parse(wanted, f);
  if (f) return;
  if (!address.is_local() && !address.is_loopback() && !options_.remote) {
    f = {std::make_error_code(std::errc::permission_denied),
         "other machines can reach \"" + address.text() + "\": this needs the option remote"};
    return;
  }
  md5_allowed_ = options_.md5.value_or(address.is_local());

  // If the port is still to be chosen there is no predecessor, so the record can be made afterwards.
  const bool port_to_choose = !address.is_local() && address.port == 0;
  server_record record;
  if (!port_to_choose) record = server_record::create(directory, address.text(), f);
  if (f) return;
  const protocol::endpoint endpoint = endpoint_of(address);
  const auto listen = [&] {
    return platform::open_guarded([&] { return platform::listen_socket(bytes_of(endpoint), f); });
  };
  unique_handle listener = listen();
  // A server that was just killed keeps its socket for a moment longer than its record.
  for (int attempt = 0;
       attempt != 20 && f.code == std::errc::address_in_use && record.had_predecessor();
       ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    f = {};
    listener = listen();
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

// When this returns, all blocks are removed and the address is free, whether or not the context still runs.
// The connections are closed on the strand.
void manager_service::end() noexcept {
  // Pairs with the acquire in has_ended(); everything after it has its own locks.
  if (!parts_ || is_inherited() || ended_.exchange(true, std::memory_order_acq_rel)) return;
  // No other server can have made a socket at this path: we hold the record.
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

void manager_service::accepted(error_code ec, socket connected) {
  if (has_ended()) return;
  if (!ec) keep_above_standard(connected, ec);
  if (!ec) {
    if (connections_.size() < options_.connections || make_room()) {
      welcome(std::make_shared<connection>(*this, std::move(connected)));
    }
    return accept();
  }
  // No descriptors or no memory: try again in a moment, or when a connection has been closed.
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

/// Closes the oldest connection that is not authenticated.
bool manager_service::make_room() {
  const auto stranger = std::find_if(connections_.begin(), connections_.end(), [](const auto& c) {
    return !c->authenticated() && c->is_open();
  });
  if (stranger == connections_.end()) return false;
  (*stranger)->close();
  return true;
}

/// Starts the timer for the connections' deadlines. One timer serves all; it stops when no connection has a
/// deadline.
void manager_service::sweep_later() {
  if (std::exchange(sweeping_, true)) return;
  sweep_timer_.expires_after(options_.timeout / 4);
  sweep_timer_.async_wait(
      net::bind_executor(strand_, [self = weak_from_this()](const error_code& ec) {
        if (const auto service = self.lock(); service && !ec) service->sweep();
      }));
}

void manager_service::sweep() {
  sweeping_ = false;
  const auto now = steady_clock::now();
  bool any = false;
  for (const auto& c : connections_) {
    if (c->deadline() <= now) {
      c->close();
    } else {
      any |= c->deadline() != steady_clock::time_point::max();
    }
  }
  if (any) sweep_later();
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

manager_server::manager_server(const executor_type& executor, std::string_view address,
                               std::string_view authkey, const manager_options& options)
    : executor_(executor),
      service_(std::make_shared<detail::manager_service>(executor, authkey, options)) {
  detail::failure f;
  service_->start(address, f);
  if (f) f.raise();
}

manager_server::manager_server(const executor_type& executor, std::string_view address,
                               std::string_view authkey, const manager_options& options,
                               error_code& ec)
    : executor_(executor),
      service_(std::make_shared<detail::manager_service>(executor, authkey, options)) {
  detail::failure f;
  service_->start(address, f);
  ec = detail::to_net(f.code);
}

manager_server::~manager_server() {
  if (!service_) return;
  service_->end();
  // In the child of a fork, even destroying it would change the parent's reactor; so it is leaked.
  if (service_->is_inherited()) new std::shared_ptr<detail::manager_service>(std::move(service_));
}

manager_server& manager_server::operator=(manager_server&& other) noexcept {
  if (this != &other) {
    const manager_server old(std::move(*this));
    executor_ = other.executor_;
    service_ = std::move(other.service_);
  }
  return *this;
}

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
