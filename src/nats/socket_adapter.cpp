#include "socket_adapter.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace belfry::detail::nats {

void socket_adapter::install(natsOptions& options) {
  until_closed_ = shared_from_this();
  natsOptions_SetEventLoop(&options, this, attach, want_read, want_write, detach);
  natsOptions_SetClosedCB(&options, on_closed, this);
  natsOptions_SetErrorHandler(&options, on_error, this);
}

// ---- called by the client, in any of its threads

natsStatus socket_adapter::attach(void** user, void* loop, natsConnection* nc, natsSock socket) {
  *user = loop;
  auto& self = *static_cast<socket_adapter*>(loop);
  self.own_ = unique_handle(::fcntl(socket, F_DUPFD_CLOEXEC, 3));
  if (!self.own_) return NATS_SYS_ERROR;
  self.of_client_ = socket;
  self.nc_ = nc;
  self.until_detached_ = self.shared_from_this();
  self.on_strand([](socket_adapter& a) { a.begin(); });
  return NATS_OK;
}

natsStatus socket_adapter::want_read(void* user, bool add) {
  auto& self = *static_cast<socket_adapter*>(user);
  const bool done = self.on_strand([add](socket_adapter& a) {
    a.reads_ = add;
    if (add) return a.wait_readable();
    a.drop();
    a.close_socket_of_client();
  });
  if (!done && !add) self.close_socket_of_client();  // after stop(): no function runs on the strand any more
  return NATS_OK;
}

natsStatus socket_adapter::want_write(void* user, bool add) {
  static_cast<socket_adapter*>(user)->on_strand([add](socket_adapter& a) {
    a.writes_ = add;
    if (add) a.wait_writable();
  });
  return NATS_OK;
}

natsStatus socket_adapter::detach(void* user) {
  const std::shared_ptr<socket_adapter> self = std::move(static_cast<socket_adapter*>(user)->until_detached_);
  const bool done = self->on_strand([](socket_adapter& a) {
    a.drop();
    a.let_go_of_client();
  });
  if (!done) self->let_go_of_client();
  return NATS_OK;
}

void socket_adapter::on_closed(natsConnection*, void* self) {
  const std::shared_ptr<socket_adapter> me = std::move(static_cast<socket_adapter*>(self)->until_closed_);
  me->on_strand([](socket_adapter& a) {
    a.drop();
    if (a.closed) a.closed();
  });
}

void socket_adapter::on_error(natsConnection* nc, natsSubscription*, natsStatus status, void* self) {
  const char* text = nullptr;
  natsConnection_GetLastError(nc, &text);
  std::string copy = text == nullptr || *text == '\0' ? natsStatus_GetText(status) : text;
  static_cast<socket_adapter*>(self)->on_strand([status, copy = std::move(copy)](socket_adapter& a) {
    if (a.refused) a.refused(status, copy);
  });
}

// ---- on the strand

void socket_adapter::stop() {
  drop();
  after_reading = nullptr;
  closed = nullptr;
  refused = nullptr;
  const std::lock_guard lock(mutex_);
  strand_.reset();
}

void socket_adapter::begin() {
  if (!strand_) return;  // stopped meanwhile
  socket_.emplace(*strand_, own_.release());
  reads_ = true;
  wait_readable();
  if (writes_) wait_writable();
}

void socket_adapter::wait_readable() {
  if (!socket_ || !reads_ || std::exchange(reading_, true)) return;
  socket_->async_wait(net::posix::stream_descriptor::wait_read, [self = shared_from_this()](const error_code& ec) {
    if (ec || !self->socket_) return;
    self->reading_ = false;
    natsConnection_ProcessReadEvent(self->nc_);
    if (self->after_reading) self->after_reading();
    self->wait_readable();  // unless the connection was lost
  });
}

void socket_adapter::wait_writable() {
  if (!socket_ || !writes_ || std::exchange(writing_, true)) return;
  socket_->async_wait(net::posix::stream_descriptor::wait_write, [self = shared_from_this()](const error_code& ec) {
    if (ec || !self->socket_) return;
    self->writing_ = false;
    if (!self->writes_) return;
    natsConnection_ProcessWriteEvent(self->nc_);
    self->wait_writable();
  });
}

/// Since 3.10 the client leaves that to its user.
void socket_adapter::close_socket_of_client() {
#if NATS_VERSION_NUMBER >= 0x030a00
  natsConnection_ProcessCloseEvent(&of_client_);
#endif
}

/// Since 3.11 the client keeps its connection until then.
void socket_adapter::let_go_of_client() {
#if NATS_VERSION_NUMBER >= 0x030b00
  natsConnection_ProcessDetachedEvent(nc_);
#endif
}

void socket_adapter::drop() {
  socket_.reset();
  reads_ = false;
}

}  // namespace belfry::detail::nats
