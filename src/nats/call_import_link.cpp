#include "call_import_link.hpp"

#include "bridge.hpp"
#include "description.hpp"

#include <belfry/detail/segment/described_channel.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace belfry::detail::nats {

using namespace std::chrono_literals;

namespace {

constexpr auto first_sign = 100ms;  // a call that lasts longer is told to be here
constexpr auto between_signs = 1s;
constexpr std::size_t reply_header_bytes = 300;  // of a reply: what its headers take at most

}  // namespace

call_import_link::call_import_link(bridge& owner, std::string subject, std::string channel, nats_import_options options)
    : link(owner, std::move(channel), std::move(subject), false),
      options_(std::move(options)),
      watch_(executor_),
      pause_(executor_),
      tick_(executor_) {}

/// What is on its way to this bridge is given back; the calls that are here are answered.
void call_import_link::stop() {
  stopping_ = true;
  stop_listening();
  for (signal* const s : {&pause_, &tick_}) s->notify();
  if (calls_.empty()) spawn(&call_import_link::flush);
}

net::awaitable<void> call_import_link::flush() {
  // A round trip: what was sent before it has arrived, and what was on its way has come.
  if (connection_) co_await connection_->request(connection_->new_inbox(), {}, 2s);
  if (calls_.empty()) end(nats_event::kind::drained);
}

void call_import_link::leave() {
  calls_.clear();
  client_.reset();
  watch_.cancel();
}

void call_import_link::session_ended() {
  requests_.reset();
  // Their replies would reach no export.
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, call] : calls_) numbers.push_back(number);
  for (const std::uint64_t number : numbers) {
    calls_[number]->control.reset();
    cancel(number);
  }
  for (signal* const s : {&pause_, &tick_}) s->notify();
}

// ---- before the first call on a connection

net::awaitable<void> call_import_link::session(std::shared_ptr<connection> c) {
  step prepared = step::again;
  while (uses(c) && !stopping_ && prepared == step::again) {
    prepared = co_await prepare(c);
    if (prepared == step::again && uses(c)) co_await pause_.wait_for(500ms);
  }
  while (uses(c) && !stopping_ && prepared == step::done) {
    if (client_->has_peer()) {
      listen();
      co_await tick_.wait_for(1s);
    } else {
      stop_listening();
      tell_waiting("no server has joined \"" + channel_ + '"');
      co_await tick_.wait_for(200ms);
    }
  }
}

net::awaitable<link::step> call_import_link::prepare(std::shared_ptr<connection> c) {
  subject_description said;
  if (const step s = co_await learn(c, said); s != step::done) co_return s;
  co_return join(said.channel);
}

/// Makes the channel if need be. An import joins once, and stays.
link::step call_import_link::join(const std::string& description) {
  failure f;
  make_channel(channel_, description, options_.mode, f);
  if (!f && !client_) {
    try {
      channel_options o;
      o.mode = options_.mode;
      o.wait_for_server = false;
      o.wait_for_place = false;
      client_.emplace(executor_, channel_, o);
      type_ = text_of(client_->info().type_fingerprint);
      set_ring(client_->info().kind);
    } catch (const std::system_error& e) {
      f = {e.code(), e.what()};
    }
  }
  if (!f) return step::done;
  if (f.code == errc::incompatible || f.code == std::errc::invalid_argument) {
    end(nats_event::kind::failed, f.what);
    return step::over;
  }
  tell_waiting(f.what);
  return step::again;
}

void call_import_link::listen() {
  if (requests_ || !connection_) return;
  requests_ = connection_->subscribe(subject_, [this](message_ptr m) {
    if (m) on_request(std::move(m));
  }, call_queue);
  set(state::running);
  tell(nats_event::kind::running, "to the servers of this machine");
}

void call_import_link::stop_listening() {
  if (!requests_) return;
  requests_->leave();
  spawn(&call_import_link::let_go, std::move(requests_));
}

/// A round trip: what was on its way to it has come then.
net::awaitable<void> call_import_link::let_go(std::unique_ptr<connection::inbox> former) {
  if (connection_) co_await connection_->request(connection_->new_inbox(), {}, 5s);
  former.reset();
}

// ---- calls

void call_import_link::on_request(message_ptr m) {
  const std::string reply(reply_of(m.get()));
  const std::shared_ptr<connection> c = connection_;  // a loop ends this link
  if (reply.empty() || !c) return;
  if (!requests_) return answer(*c, reply, call_outcome::no_server);
  if (header_of(m.get(), header::type).empty()) return answer(*c, reply, call_outcome::here);
  if (const std::error_code ec = refusal_of(m.get())) {
    answer(*c, reply, refused_with(ec));
    if (is_over() || std::exchange(told_refusal_, true)) return;
    return tell(nats_event::kind::refused, "a request that is none of this channel: " + ec.message());
  }
  start(std::move(m));
}

std::error_code call_import_link::refusal_of(natsMsg* m) {
  if (header_of(m, header::type) != type_) return make_error_code(errc::incompatible);
  const std::size_t size = data_of(m).size();
  const std::size_t most = client_->max_message();
  if (client_->info().value_bytes != 0 && size != most) return make_error_code(errc::protocol_error);
  if (size > most) return make_error_code(errc::message_too_large);
  if (is_loop(std::string(header_of(m, header::hops)), number_of(client_->info().id)))
    return std::make_error_code(std::errc::too_many_symbolic_link_levels);
  return {};
}

void call_import_link::start(message_ptr m) {
  const std::uint64_t number = ++last_number_;
  auto deadline = clock::time_point::max();
  const auto now = clock::now();
  if (std::uint64_t left = 0; parse_number(header_of(m.get(), header::remaining), left) &&
                              left < static_cast<std::uint64_t>((deadline - now).count()))
    deadline = now + std::chrono::nanoseconds(left);
  const auto call = std::make_shared<taken_call>();
  call->reply = reply_of(m.get());
  call->request = std::move(m);
  call->last_sign = now - between_signs + first_sign;
  calls_.emplace(number, call);
  counters_.outstanding.store(calls_.size(), std::memory_order_relaxed);
  client_->async_call(
      bytes_of(call->request.get()), deadline,
      net::bind_cancellation_slot(
          call->cancel.slot(),
          // The operation keeps the request, and the signal.
          net::bind_executor(executor_, [self = std::static_pointer_cast<call_import_link>(shared_from_this()), call, number](
                                            const error_code& ec, message reply) {
            self->on_end(number, ec, std::move(reply));
          })));
  watch_calls();
}

void call_import_link::on_end(std::uint64_t number, const error_code& ec, message reply) {
  const auto at = calls_.find(number);
  if (at == calls_.end()) return;
  const std::shared_ptr<taken_call> call = at->second;
  calls_.erase(at);
  counters_.outstanding.store(calls_.size(), std::memory_order_relaxed);
  if (connection_) tell_end(*connection_, *call, ec, reply);
  if (stopping_ && calls_.empty()) spawn(&call_import_link::flush);
}

void call_import_link::tell_end(connection& c, const taken_call& call, const error_code& ec, const message& reply) {
  if (!ec) {
    const std::size_t most = c.max_payload();
    if (reply.size() + reply_header_bytes > most) {
      tell(nats_event::kind::refused, "a reply of " + std::to_string(reply.size()) + " bytes: the server takes " +
                                          std::to_string(most) + " (max_payload)");
      answer(c, call.reply, refused_with(make_error_code(errc::message_too_large)));
    } else {
      answer(c, call.reply, call_outcome::reply, reply.bytes());
      add(counters_.messages);
      add(counters_.bytes, reply.size());
    }
  } else if (ec == errc::refused) {
    answer(c, call.reply, refused_with(from_net(client_->refusal())));
    add(counters_.messages);
  } else if (ec == errc::no_server) {
    answer(c, call.reply, call_outcome::no_server);
    tick_.notify();
  } else if (ec == errc::overloaded) {
    answer(c, call.reply, call_outcome::overloaded);
  } else if (ec == errc::not_started) {
    answer(c, call.reply, call_outcome::not_started);
  } else if (ec == errc::deadline_exceeded) {
    answer(c, call.reply, call_outcome::deadline_exceeded);
  } else if (ec != net::error::operation_aborted) {  // else its client does not wait
    if (ec != errc::maybe_executed) tell(nats_event::kind::refused, "call: " + ec.message());
    answer(c, call.reply, call_outcome::maybe_executed);
    add(counters_.lost);
  }
}

void call_import_link::answer(connection& c, const std::string& to, std::string_view outcome,
                              std::span<const std::byte> data) {
  call_message m(to, {}, data);
  m.set(header::outcome, std::string(outcome));
  if (const natsStatus s = m.publish(c); s != NATS_OK) c.close(std::string("publish: ") + natsStatus_GetText(s));
}

// ---- calls that last

void call_import_link::cancel(std::uint64_t number) {
  const auto at = calls_.find(number);
  if (at == calls_.end()) return;
  const std::shared_ptr<taken_call> call = at->second;  // its handler may be called now
  call->cancel.emit(net::cancellation_type::all);
}

/// Looks from time to time, as long as there are calls.
void call_import_link::watch_calls() {
  if (std::exchange(watching_, true)) return;
  watch_.expires_after(first_sign);
  watch_.async_wait([self = std::static_pointer_cast<call_import_link>(shared_from_this())](const error_code& ec) {
    self->watching_ = false;
    if (ec || self->is_over() || !self->connection_ || self->calls_.empty()) return;
    const auto now = clock::now();
    for (auto& [number, call] : self->calls_)
      if (now - call->last_sign >= between_signs) self->give_sign(number, *call);
    self->watch_calls();
  });
}

void call_import_link::give_sign(std::uint64_t number, taken_call& call) {
  call.last_sign = clock::now();
  if (!call.control) {
    call.control_name = connection_->new_inbox();
    call.control = connection_->subscribe(call.control_name, [this, number](message_ptr m) {
      if (m && data_of(m.get()) != cancel_call) return;
      // No export has the call any more. Not at once, since this inbox goes with the call.
      net::post(executor_, [self = std::static_pointer_cast<call_import_link>(shared_from_this()), number] {
        self->cancel(number);
      });
    });
  }
  call_message m(call.reply, call.control_name, {});
  m.set(header::outcome, std::string(call_outcome::working));
  if (const natsStatus s = m.publish(*connection_); s != NATS_OK)
    connection_->close(std::string("publish: ") + natsStatus_GetText(s));
}

}  // namespace belfry::detail::nats
