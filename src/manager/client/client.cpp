
#include "client.hpp"

#include "../../platform/file.hpp"
#include "../../platform/handle.hpp"
#include "../../platform/program.hpp"
#include "../../platform/socket.hpp"
#include "../../platform/wait.hpp"
#include "../server/tracked_blocks.hpp"
#include "../wire/endpoint_of.hpp"

#include <algorithm>
#include <charconv>

namespace belfry::detail {

// ---- the client ---------------------------------------------------------------------------------------

manager_client::manager_client(const manager_address& address, std::string_view key,
                               const manager_options& options)
    : key_(key), options_(options), address_(address) {}

manager_client::~manager_client() {
  if (owns_server()) bury();
}

void manager_client::at(const manager_address& address) {
  const std::scoped_lock lock(mutex_);
  address_ = address;
}

manager_address manager_client::address() const {
  const std::scoped_lock lock(mutex_);
  return address_;
}

bool manager_client::md5_allowed() const { return options_.md5.value_or(address().is_local()); }

connection_ptr manager_client::take_idle() {
  const std::scoped_lock lock(mutex_);
  if (idle_.empty()) return nullptr;
  connection_ptr c = std::move(idle_.back());
  idle_.pop_back();
  return c;
}

void manager_client::keep_idle(connection_ptr c) {
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(c));
}

void manager_client::drop_idle() noexcept {
  const std::scoped_lock lock(mutex_);
  idle_.clear();
}

void manager_client::started(platform::child_process child, unique_handle lifeline) {
  child_ = std::move(child);
  lifeline_ = std::move(lifeline);
  fork_generation_ = fork_generation.load(std::memory_order_relaxed);
}

bool manager_client::owns_server() const noexcept {
  return child_.handle && fork_generation_ == fork_generation.load(std::memory_order_relaxed);
}

void manager_client::bury(std::chrono::milliseconds timeout) noexcept {
  using namespace std::chrono_literals;
  using clock = std::chrono::steady_clock;
  set_ready(false);
  drop_idle();
  if (!owns_server()) return;
  lifeline_.reset();
  if (!platform::reap_process(child_, clock::now() + timeout)) {
    platform::end_process(child_, platform::how_to_end::please);
    if (!platform::reap_process(child_, clock::now() + timeout / 5)) {
      platform::end_process(child_, platform::how_to_end::now);
      platform::reap_process(child_, clock::time_point::max());
    }
  }
  if (address_.name.empty()) return;  // the server did not get as far as its record
  failure f;
  const std::string directory =
      options_.run_directory.empty() ? platform::run_directory(f) : options_.run_directory;
  server_record left_behind =
      server_record::of_the_dead(server_record::path_of(directory, address_.text()), f);
  if (!left_behind) return;  // the server has removed its record, and so everything
  // Its record is removed last: if this process is killed here, others find the rest by the record.
  if (address_.kind == manager_address::family::path) {
    platform::remove_abandoned_socket(address_.name);
  }
  tracked_blocks(std::move(left_behind)).unlink_all();
}

// ---- requests -----------------------------------------------------------------------------------------

request_chain::progress request_chain::ask(const question& q, failure& f) {
  for (;;) {
    switch (stage_) {
      case stage::idle:
        if (!connection_ && !fresh_) connection_ = client_->take_idle();
        reused_ = static_cast<bool>(connection_);
        if (reused_) {
          at_ = 0;
          session().request(q.method, q.arguments);
          stage_ = stage::asking;
        } else {
          if (!connect(f)) return connect_later(f) ? progress::to_read : progress::failed;
          stage_ = stage::connecting;
          if (!client_->address().is_local()) return progress::to_write;
        }
        break;
      case stage::connecting:
        if (const std::error_code error = platform::socket_error(connection_->socket)) {
          f = {error, "connect to the manager at \"" + client_->address().text() + '"'};
          return progress::failed;
        }
        stage_ = stage::greeting;
        break;
      case stage::greeting:
      case stage::asking: {
        const progress p = exchange(f);
        if (p == progress::to_read || p == progress::to_write) return p;
        if (p == progress::failed) {
          if (may_retry(f)) break;
          connection_.reset();
          return p;
        }
        if (stage_ == stage::asking) {
          stage_ = stage::idle;
          return p;
        }
        stage_ = stage::asking;
        session().request(q.method, q.arguments);
        break;
      }
    }
  }
}

/// An idle connection may have been closed meanwhile, by CPython's server, or because the server was started
/// anew. Then the server has not read the request. (If it died while it carried the request out, its
/// successor can repeat it.)
bool request_chain::may_retry(failure& f) {
  if (!reused_ || stage_ != stage::asking || f.code == errc::protocol_error) return false;
  client_->drop_idle();
  connection_.reset();
  fresh_ = true;
  stage_ = stage::idle;
  f = {};
  return true;
}

bool request_chain::connect(failure& f) {
  const auto endpoint = endpoint_of(client_->address());
  unique_handle socket =
      platform::open_guarded([&] { return platform::connect_socket(bytes_of(endpoint), f); });
  if (f) {
    f.what += " at \"" + client_->address().text() + '"';
    return false;
  }
  retry_.reset();
  connection_ = std::make_unique<manager_connection>(std::move(socket), client_->key(),
                                                     client_->md5_allowed());
  at_ = 0;
  return true;
}

/// Sets a timer for the next attempt to connect. The caller's deadline limits the attempts.
bool request_chain::connect_later(failure& f) {
  using namespace std::chrono_literals;
  const bool is_full = f.code == std::errc::resource_unavailable_try_again;
  if (!is_full || !client_->address().is_local()) return false;
  f = {};
  std::error_code error;
  retry_ = platform::new_timer(pause_, error);
  if (error) f = {error, "wait for the manager at \"" + client_->address().text() + '"'};
  pause_ = std::min(2 * pause_, 50ms);
  return static_cast<bool>(retry_);
}

request_chain::progress request_chain::exchange(failure& f) {
  client_session& s = session();
  for (;;) {
    platform::transferred done;
    switch (s.next()) {
      case conversation::step::done:
        f = s.error();
        return f ? progress::failed : progress::answered;
      case conversation::step::send:
        done = platform::send_some(connection_->socket, s.output().substr(at_));
        if (done.would_block) return progress::to_write;
        at_ += done.bytes;
        if (!done.error && at_ == s.output().size()) {
          at_ = 0;
          s.sent();
        }
        break;
      case conversation::step::receive:
        done = platform::receive_some(connection_->socket, s.input().subspan(at_));
        if (done.would_block) return progress::to_read;
        if (done.bytes == 0 && !done.error)
          done.error = std::make_error_code(std::errc::connection_reset);
        at_ += done.bytes;
        if (!done.error && at_ == s.input().size()) {
          at_ = 0;
          s.received();
        }
        break;
    }
    if (done.error) {
      f = {done.error, "talk to the manager at \"" + client_->address().text() + '"'};
      return progress::failed;
    }
  }
}

void request_chain::finish() {
  if (!connection_) return;
  if (client_->kind() == manager_client::server_kind::ours) {
    client_->keep_idle(std::move(connection_));
  } else {
    connection_.reset();
  }
}

failure refused(std::string_view what, const std::string& traceback) {
  const std::size_t end = traceback.find_last_not_of('\n');
  const std::string text = traceback.substr(0, end + 1);
  const std::string last = text.substr(text.rfind('\n') + 1);
  failure f{make_error_code(errc::protocol_error),
            std::string(what) + ": the manager refused: " + last};
  constexpr std::string_view mark = "[Errno ";
  if (const std::size_t at = last.find(mark); at != last.npos) {
    int number = 0;
    std::from_chars(last.data() + at + mark.size(), last.data() + last.size(), number);
    if (number > 0) {
      f.code = last.starts_with("belfry") ? std::error_code(number, error_category())
                                          : std::error_code(number, std::system_category());
    }
  } else if (last.starts_with("ValueError: list.remove(x)")) {
    f.code = std::make_error_code(std::errc::no_such_file_or_directory);
  }
  return f;
}

// ---- driving a call in this thread ----------------------------------------------------------------------

void complete(manager_call& call, std::chrono::steady_clock::time_point deadline) {
  while (!call.error()) {
    const manager_call::wait until = call.proceed();
    if (until == manager_call::wait::none) return;
    if (!platform::wait_for_socket(call.socket(), until == manager_call::wait::to_write,
                                   deadline)) {
      call.give_up(timed_out());
    }
  }
}

}  // namespace belfry::detail
