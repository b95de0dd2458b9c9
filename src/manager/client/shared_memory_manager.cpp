#include "../../base/utf8.hpp"
#include "../../blocks/block_maker.hpp"
#include "../../platform/random_digits.hpp"
#include "calls.hpp"

#include <belfry/shared_memory_manager.hpp>

#include <stdexcept>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/system_executor.hpp>
#else
#include <asio/system_executor.hpp>
#endif

namespace belfry::detail {

const client_ptr& client_of(const shared_memory_manager& manager) noexcept { return manager.client_; }

}  // namespace belfry::detail

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

using detail::call_ptr;
using detail::failure;
using detail::nothing;

namespace {

constexpr auto timeout = std::chrono::seconds(20);

template <class Result>
Result finish(call_ptr<Result> call, failure& f) {
  detail::complete(*call, std::chrono::steady_clock::now() + timeout);
  f = call->error();
  return f ? Result() : call->take_result();
}
template <class Result>
Result finish(call_ptr<Result> call) {
  failure f;
  Result result = finish(std::move(call), f);
  if (f) f.raise();
  return result;
}
template <class Result>
Result finish(call_ptr<Result> call, error_code& ec) {
  failure f;
  Result result = finish(std::move(call), f);
  ec = detail::to_net(f.code);
  return result;
}

/// Only UTF-8 can be sent, and CPython's servers understand nothing else.
bool check_name(std::string_view name, failure& f) {
  if (!is_utf8(name)) {
    f = {std::make_error_code(std::errc::invalid_argument), "the name is not UTF-8"};
  }
  return !f;
}

failure not_connected() {
  return {std::make_error_code(std::errc::not_connected), "the manager has no server"};
}

}  // namespace

shared_memory_manager::shared_memory_manager() : shared_memory_manager(net::system_executor()) {}

shared_memory_manager::shared_memory_manager(const executor_type& executor) : executor_(executor) {}

shared_memory_manager::shared_memory_manager(shared_memory_manager&& other) noexcept
    : executor_(other.executor_), client_(std::move(other.client_)) {}

shared_memory_manager& shared_memory_manager::operator=(shared_memory_manager&& other) noexcept {
  if (this != &other) {
    shared_memory_manager old(std::move(*this));
    executor_ = other.executor_;
    client_ = std::move(other.client_);
  }
  return *this;
}

shared_memory_manager::~shared_memory_manager() {
  if (!client_ || !client_->owns_server()) return;
  error_code ignored;
  shutdown(ignored);
  client_->bury();
}

bool shared_memory_manager::is_connected() const noexcept { return client_ && client_->ready(); }

std::string shared_memory_manager::address() const {
  return is_connected() ? client_->address().text() : std::string();
}

std::string shared_memory_manager::authkey() const {
  return is_connected() ? client_->key() : std::string();
}

// ---- the calls ------------------------------------------------------------------------------------------

call_ptr<nothing> shared_memory_manager::starting(const manager_options& options) {
  failure f;
  const std::string key = detail::random_digits(64, f);
  if (f) return detail::failed_call<nothing>(std::move(f));
  return starting({}, key, options);
}

call_ptr<nothing> shared_memory_manager::starting(std::string_view address,
                                                  std::string_view authkey,
                                                  const manager_options& options) {
  failure f;
  detail::manager_address at;
  if (!address.empty()) at = detail::manager_address::parse(address, f);
  if (client_ && (client_->ready() || client_->owns_server())) {
    f = {std::make_error_code(std::errc::already_connected), "the manager has a server already"};
  }
  if (f) return detail::failed_call<nothing>(std::move(f));
  client_ = std::make_shared<detail::manager_client>(at, authkey, options);
  return detail::start_call(client_);
}

call_ptr<nothing> shared_memory_manager::connecting(std::string_view address,
                                                    std::string_view authkey,
                                                    const manager_options& options) {
  failure f;
  const auto at = detail::manager_address::parse(address, f);
  if (client_ && (client_->ready() || client_->owns_server())) {
    f = {std::make_error_code(std::errc::already_connected), "the manager has a server already"};
  }
  if (f) return detail::failed_call<nothing>(std::move(f));
  client_ = std::make_shared<detail::manager_client>(at, authkey, options);
  return detail::connect_call(client_);
}

call_ptr<belfry::shared_memory> shared_memory_manager::making_block(std::size_t bytes,
                                                                    std::string_view name) {
  failure f;
  belfry::shared_memory block;
  if (!is_connected()) {
    f = not_connected();
  } else if (check_name(name, f)) {
    block = detail::block_maker::make(bytes, 0600, f);
  }
  if (f) return detail::failed_call<belfry::shared_memory>(std::move(f));
  return detail::block_call(client_, std::move(block), name);
}

call_ptr<belfry::shareable_list> shared_memory_manager::making_list(
    std::span<const list_value> values, std::string_view name) {
  failure f;
  belfry::shareable_list list;
  if (!is_connected()) {
    f = not_connected();
  } else if (check_name(name, f)) {
    list = detail::block_maker::make(values, f);
  }
  if (f) return detail::failed_call<belfry::shareable_list>(std::move(f));
  return detail::block_call(client_, std::move(list), name);
}

call_ptr<std::vector<std::string>> shared_memory_manager::listing() {
  if (!is_connected()) return detail::failed_call<std::vector<std::string>>(not_connected());
  return detail::list_call(client_);
}

call_ptr<nothing> shared_memory_manager::releasing(std::string_view name) {
  failure f;
  if (!is_connected()) {
    f = not_connected();
  } else {
    check_name(name, f);
  }
  if (f) return detail::failed_call<nothing>(std::move(f));
  return detail::release_call(client_, name);
}

call_ptr<nothing> shared_memory_manager::shutting_down() {
  if (!is_connected()) return detail::failed_call<nothing>(not_connected());
  return detail::shutdown_call(client_);
}

// ---- in this thread ---------------------------------------------------------------------------------------

void shared_memory_manager::start(const manager_options& options) { finish(starting(options)); }
void shared_memory_manager::start(const manager_options& options, error_code& ec) {
  finish(starting(options), ec);
}

void shared_memory_manager::start(std::string_view address, std::string_view authkey,
                                  const manager_options& options) {
  finish(starting(address, authkey, options));
}

void shared_memory_manager::start(std::string_view address, std::string_view authkey,
                                  const manager_options& options, error_code& ec) {
  finish(starting(address, authkey, options), ec);
}

shared_memory_manager shared_memory_manager::connect(std::string_view address,
                                                     std::string_view authkey,
                                                     const manager_options& options) {
  shared_memory_manager m;
  finish(m.connecting(address, authkey, options));
  return m;
}

shared_memory_manager shared_memory_manager::connect(std::string_view address,
                                                     std::string_view authkey,
                                                     const manager_options& options,
                                                     error_code& ec) {
  shared_memory_manager m;
  finish(m.connecting(address, authkey, options), ec);
  return m;
}

belfry::shared_memory shared_memory_manager::shared_memory(std::size_t bytes,
                                                           std::string_view name) {
  return finish(making_block(bytes, name));
}
belfry::shared_memory shared_memory_manager::shared_memory(std::size_t bytes, std::string_view name,
                                                           error_code& ec) {
  return finish(making_block(bytes, name), ec);
}

belfry::shareable_list shared_memory_manager::shareable_list(std::span<const list_value> values,
                                                             std::string_view name) {
  failure f;
  if (!is_connected()) not_connected().raise();
  if (!check_name(name, f)) f.raise();
  return finish(detail::block_call(client_, detail::block_maker::make(values), name));
}
belfry::shareable_list shared_memory_manager::shareable_list(std::span<const list_value> values,
                                                             std::string_view name,
                                                             error_code& ec) {
  return finish(making_list(values, name), ec);
}

std::vector<std::string> shared_memory_manager::list_segments() { return finish(listing()); }
std::vector<std::string> shared_memory_manager::list_segments(error_code& ec) {
  return finish(listing(), ec);
}

void shared_memory_manager::release(std::string_view name) { finish(releasing(name)); }
void shared_memory_manager::release(std::string_view name, error_code& ec) {
  finish(releasing(name), ec);
}

void shared_memory_manager::shutdown() { finish(shutting_down()); }
void shared_memory_manager::shutdown(error_code& ec) { finish(shutting_down(), ec); }

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
