// Endpoints of managed channels: the manager hands out the channel, and watches the endpoint's connection as
// long as it lives.
#include "../../base/utf8.hpp"
#include "../../platform/socket.hpp"
#include "../../segment/log.hpp"
#include "../server/channels.hpp"
#include "client.hpp"

#include <belfry/channel_handles.hpp>
#include <belfry/detail/async/endpoint.hpp>
#include <belfry/shared_memory_manager.hpp>

#include <chrono>

namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR {
namespace {

constexpr auto timeout = std::chrono::seconds(20);

/// The connection that delivered the handles. When it ends, the server takes the participant for dead.
class session_connection final : public manager_session {
 public:
  explicit session_connection(connection_ptr connection) : connection_(std::move(connection)) {}

  void leave(bool drained) noexcept override try {
    client_session& s = connection_->session;
    pickle::tuple arguments;
    arguments.items.emplace_back(std::int64_t{drained});
    s.request("leave_channel", std::move(arguments));
    platform::send_some(connection_->socket, s.output());  // a few bytes, into an empty socket
  } catch (...) {
    // Then the server takes us for dead.
  }

 private:
  connection_ptr connection_;
};

/// Asks for the channel on a connection of its own.
segment_handles ask_for_channel(request_chain& chain, std::string_view name, const described_segment& wanted,
                                bool any_capacity, failure& f) {
  chain.insist_on_new();
  request_chain::question wish{"join_channel", {}};
  wish.arguments.items.emplace_back(std::string(name));
  wish.arguments.items.emplace_back(to_text(wanted.id));
  wish.arguments.items.emplace_back(wanted.description);
  wish.arguments.items.emplace_back(std::int64_t{any_capacity});

  const auto deadline = std::chrono::steady_clock::now() + timeout;
  request_chain::progress p;
  while ((p = chain.ask(wish, f)) != request_chain::progress::answered && !f) {
    const bool to_write = p == request_chain::progress::to_write;
    if (!platform::wait_for_socket(chain.socket(), to_write, deadline)) {
      f = {timed_out(), "wait for the manager"};
    }
  }
  if (!f && chain.session().refused()) f = refused("join_channel", chain.session().refusal());
  if (!f && !platform::wait_for_socket(chain.socket(), false, deadline)) {
    f = {timed_out(), "wait for the manager"};
  }
  return f ? segment_handles() : receive_handles(chain.socket(), f);
}

}  // namespace

void endpoint::open(const shared_memory_manager& manager, std::string_view name, failure& f) {
  described_segment wanted;
  if (!manager.is_connected()) {
    f = {std::make_error_code(std::errc::not_connected), "the manager has no server"};
  } else if (!is_utf8(name)) {
    f = {std::make_error_code(std::errc::invalid_argument), "the name is not UTF-8"};
  } else if (!me_.traits().any) {
    wanted = segment::describe(me_.traits(), options_, f);
  }  // else no kind: the channel that there is
  if (f) return log_refusal(name, f);
  request_chain chain(client_of(manager));
  const segment_handles handles = ask_for_channel(chain, name, wanted, options_.capacity == 0, f);
  if (f) return log_refusal(name, f);
  open(handles, f, std::make_unique<session_connection>(chain.take()));
  if (f) f.what = "join \"" + std::string(name) + "\" of the manager: " + f.what;
}

}  // namespace belfry::detail::inline BELFRY_ASIO_FLAVOUR
