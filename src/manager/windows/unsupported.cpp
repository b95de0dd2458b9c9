// Managers: not on Windows yet. Everything that needs one fails with `operation_not_supported`.
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/manager_server.hpp>
#include <belfry/shared_memory_manager.hpp>

#if defined(BELFRY_BOOST_ASIO)
#include <boost/asio/system_executor.hpp>
#else
#include <asio/system_executor.hpp>
#endif

namespace belfry::detail {
namespace {

failure no_managers() { return {std::make_error_code(std::errc::operation_not_supported), "managers, on Windows"}; }

template <class Result>
call_ptr<Result> refused() {
  class call final : public manager_call_for<Result> {
   public:
    call() { this->error_ = no_managers(); }
    manager_call::wait proceed() override { return manager_call::wait::none; }
    native_socket_type socket() const noexcept override { return no_socket; }
  };
  return std::make_unique<call>();
}

}  // namespace

const client_ptr& client_of(const shared_memory_manager& manager) noexcept { return manager.client_; }

}  // namespace belfry::detail

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {

void endpoint::open(const shared_memory_manager&, std::string_view, failure& f) { f = no_managers(); }

class manager_service::connection {};
struct manager_service::parts {};

manager_service::manager_service(net::any_io_executor executor, std::string_view authkey, const manager_options& options)
    : executor_(executor),
      strand_(executor),
      end_timer_(executor),
      sweep_timer_(executor),
      accept_timer_(executor),
      authkey_(authkey),
      options_(options) {}
manager_service::~manager_service() = default;
void manager_service::start(std::string_view, failure& f) { f = no_managers(); }
void manager_service::end() noexcept {}
bool manager_service::is_open() const noexcept { return false; }
std::vector<std::string> manager_service::list_segments() const { return {}; }

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR

namespace belfry::inline BELFRY_ASIO_FLAVOUR {

using detail::call_ptr;
using detail::nothing;
using detail::refused;

namespace {

[[noreturn]] void refuse() { detail::no_managers().raise(); }
void refuse(error_code& ec) { ec = detail::to_net(detail::no_managers().code); }

}  // namespace

// ---- the client ------------------------------------------------------------------------------------------------------

shared_memory_manager::shared_memory_manager() : shared_memory_manager(net::system_executor()) {}
shared_memory_manager::shared_memory_manager(const executor_type& executor) : executor_(executor) {}
shared_memory_manager::shared_memory_manager(shared_memory_manager&& other) noexcept : executor_(other.executor_) {}
shared_memory_manager& shared_memory_manager::operator=(shared_memory_manager&& other) noexcept {
  executor_ = other.executor_;
  return *this;
}
shared_memory_manager::~shared_memory_manager() = default;

bool shared_memory_manager::is_connected() const noexcept { return false; }
std::string shared_memory_manager::address() const { return {}; }
std::string shared_memory_manager::authkey() const { return {}; }

call_ptr<nothing> shared_memory_manager::starting(const manager_options&) { return refused<nothing>(); }
call_ptr<nothing> shared_memory_manager::starting(std::string_view, std::string_view, const manager_options&) {
  return refused<nothing>();
}
call_ptr<nothing> shared_memory_manager::connecting(std::string_view, std::string_view, const manager_options&) {
  return refused<nothing>();
}
call_ptr<belfry::shared_memory> shared_memory_manager::making_block(std::size_t, std::string_view) {
  return refused<belfry::shared_memory>();
}
call_ptr<belfry::shareable_list> shared_memory_manager::making_list(std::span<const list_value>, std::string_view) {
  return refused<belfry::shareable_list>();
}
call_ptr<std::vector<std::string>> shared_memory_manager::listing() { return refused<std::vector<std::string>>(); }
call_ptr<nothing> shared_memory_manager::releasing(std::string_view) { return refused<nothing>(); }
call_ptr<nothing> shared_memory_manager::shutting_down() { return refused<nothing>(); }

void shared_memory_manager::start(const manager_options&) { refuse(); }
void shared_memory_manager::start(const manager_options&, error_code& ec) { refuse(ec); }
void shared_memory_manager::start(std::string_view, std::string_view, const manager_options&) { refuse(); }
void shared_memory_manager::start(std::string_view, std::string_view, const manager_options&, error_code& ec) {
  refuse(ec);
}
shared_memory_manager shared_memory_manager::connect(std::string_view, std::string_view, const manager_options&) {
  refuse();
}
shared_memory_manager shared_memory_manager::connect(std::string_view, std::string_view, const manager_options&,
                                                     error_code& ec) {
  refuse(ec);
  return {};
}
belfry::shared_memory shared_memory_manager::shared_memory(std::size_t, std::string_view) { refuse(); }
belfry::shared_memory shared_memory_manager::shared_memory(std::size_t, std::string_view, error_code& ec) {
  refuse(ec);
  return {};
}
belfry::shareable_list shared_memory_manager::shareable_list(std::span<const list_value>, std::string_view) { refuse(); }
belfry::shareable_list shared_memory_manager::shareable_list(std::span<const list_value>, std::string_view,
                                                             error_code& ec) {
  refuse(ec);
  return {};
}
std::vector<std::string> shared_memory_manager::list_segments() { refuse(); }
std::vector<std::string> shared_memory_manager::list_segments(error_code& ec) {
  refuse(ec);
  return {};
}
void shared_memory_manager::release(std::string_view) { refuse(); }
void shared_memory_manager::release(std::string_view, error_code& ec) { refuse(ec); }
void shared_memory_manager::shutdown() { refuse(); }
void shared_memory_manager::shutdown(error_code& ec) { refuse(ec); }

// ---- the server ------------------------------------------------------------------------------------------------------

manager_server::manager_server(const executor_type& executor, std::string_view, std::string_view, const manager_options&)
    : executor_(executor) {
  refuse();
}
manager_server::manager_server(const executor_type& executor, std::string_view, std::string_view, const manager_options&,
                               error_code& ec)
    : executor_(executor) {
  refuse(ec);
}
manager_server& manager_server::operator=(manager_server&& other) noexcept {
  executor_ = other.executor_;
  service_ = std::move(other.service_);
  return *this;
}
manager_server::~manager_server() = default;

}  // namespace belfry::inline BELFRY_ASIO_FLAVOUR
