#include "call_export_link.hpp"

#include "bridge.hpp"
#include "description.hpp"

#include <belfry/detail/segment/described_channel.hpp>

#include <algorithm>
#include <utility>

namespace belfry::detail::nats {

using namespace std::chrono_literals;

namespace {

constexpr auto between_looks = 1s;
constexpr unsigned most_silent_looks = 5;
constexpr std::size_t request_header_bytes = 300;  // of a request: what its headers take at most, without hops

}  // namespace

call_export_link::call_export_link(bridge& owner, std::string channel, std::string subject, nats_export_options options)
    : link(owner, std::move(channel), std::move(subject), true),
      options_(std::move(options)),
      may_accept_(executor_),
      pause_(executor_),
      tick_(executor_) {}

void call_export_link::stop() {
  stopping_ = true;
  serving_ = false;
  for (signal* const s : {&may_accept_, &pause_, &tick_}) s->notify();
  ended_one();
}

void call_export_link::leave() { leave_ring(); }

void call_export_link::session_ended() {
  serving_ = false;
  unknown_ = 0;
  for (auto& [number, call] : std::exchange(calls_, {})) drop(std::move(call.held));
  if (unknown_ != 0)
    tell(nats_event::kind::lost,
         std::to_string(unknown_) + " calls were on their way: whether they were executed is not known");
  unknown_ = 0;
  spare_.clear();
  retired_.clear();
  counters_.outstanding.store(0, std::memory_order_relaxed);
  leave_ring();
  for (signal* const s : {&pause_, &tick_}) s->notify();
}

// ---- whether there is a server

net::awaitable<void> call_export_link::session(std::shared_ptr<connection> c) {
  bool described = false;
  while (uses(c) && !(stopping_ && calls_.empty())) {
    look_at_calls();
    if (!described && !stopping_) {
      const step s = co_await describe(c);
      if (s == step::over || !uses(c)) co_return;
      described = s == step::done;
    }
    const bool served = described && !stopping_ && co_await is_served(c);
    if (!uses(c)) co_return;
    if (served && !server_) {  // its channel may be another one by now
      const step s = co_await describe(c);
      if (s == step::over || !uses(c)) co_return;
      described = s == step::done;
    }
    if (served && described && !stopping_) described = join();
    while (uses(c) && serving_) {
      co_await tick_.wait_for(between_looks);
      if (!uses(c)) co_return;
      look_at_calls();
    }
    if (!uses(c)) co_return;
    if (calls_.empty()) leave_ring();
    co_await pause_.wait_for(200ms);
  }
}

net::awaitable<link::step> call_export_link::describe(std::shared_ptr<connection> c) {
  failure f;
  subject_description what;
  what.subject = subject_;
  what.channel = describe_channel(channel_, f);
  if (f) {
    if (f.code == errc::incompatible) {
      end(nats_event::kind::failed, f.what);
      co_return step::over;
    }
    tell_waiting(f.code == std::errc::no_such_file_or_directory ? "there is no channel \"" + channel_ + "\" yet" : f.what);
    co_return step::again;
  }
  const auto r = co_await put_description(c, subject_, std::move(what), options_.replicas);
  if (!uses(c)) co_return step::over;
  co_return answer_to(r, "describe the channel");
}

net::awaitable<bool> call_export_link::is_served(std::shared_ptr<connection> c) {
  const auto r = co_await c->request(subject_, {}, 2s, 1h,
                                     [](natsMsg* m) { return !header_of(m, header::outcome).empty(); });
  if (!uses(c)) co_return false;
  if (r.how == connection::answer::came && header_of(r.message.get(), header::outcome) == call_outcome::here) co_return true;
  const char* why = "no server takes the calls of ";
  if (r.how == connection::answer::timed_out) why = "no answer (no permission?) from ";
  tell_waiting(why + subject_);
  co_return false;
}

/// As a server. False: not now.
bool call_export_link::join() {
  if (!server_) {
    try {
      channel_options o;
      o.mode = options_.mode;
      server_.emplace(executor_, channel_, o);
    } catch (const std::system_error& e) {
      if (e.code() == errc::incompatible || e.code() == std::errc::invalid_argument) {
        end(nats_event::kind::failed, e.what());
      } else {
        tell_waiting(e.what());
      }
      return false;
    }
    segment_ = number_of(server_->info().id);
    type_ = text_of(server_->info().type_fingerprint);
    set_ring(server_->info().kind);
    spawn(&call_export_link::accept, ++joined_);
  }
  serving_ = true;
  pause_time_ = 0ms;
  if (!is(state::running)) {
    set(state::running);
    tell(nats_event::kind::running, "to servers on other machines");
  }
  may_accept_.notify();
  return true;
}

void call_export_link::leave_ring() {
  ++joined_;
  serving_ = false;
  next_.requeue();
  server_.reset();
  may_accept_.notify();
}

void call_export_link::not_served(const std::string& why) {
  if (!std::exchange(serving_, false)) return;
  tell_waiting(why);
  tick_.notify();
}

// ---- from the ring

net::awaitable<void> call_export_link::accept(std::uint64_t joined) {
  bool damaged = false;  // the last one
  while (joined == joined_) {
    if (!serving_ || calls_.size() >= options_.outstanding_messages) {
      co_await may_accept_.wait();
      continue;
    }
    auto [ec, call] = co_await server_->async_accept(as_result);
    if (joined != joined_) co_return;
    if (ec == errc::corrupted && !std::exchange(damaged, true)) {  // one client's request, which was refused
      tell(nats_event::kind::refused, "a call: " + ec.message());
      continue;
    }
    if (ec) {
      end(nats_event::kind::failed, "accept: " + ec.message());
      co_return;
    }
    damaged = false;
    next_ = std::move(call);
    if (pause_time_ != 0ms) co_await may_accept_.wait_for(pause_time_);
    if (joined != joined_) co_return;
    if (serving_) {
      pass_on(std::move(next_));
    } else {
      next_.requeue();
    }
  }
}

void call_export_link::pass_on(byte_call call) {
  retired_.clear();
  const std::string hops = owner_.hops_into(channel_);
  const std::size_t size = call.request().size();
  const std::size_t most = connection_->max_payload();
  if (size + request_header_bytes + hops.size() > most) {
    tell(nats_event::kind::refused,
         "a request of " + std::to_string(size) + " bytes: the server takes " + std::to_string(most) +
             ", of which the bridge needs up to " + std::to_string(request_header_bytes + hops.size()) +
             " for itself (max_payload)");
    call.fail(to_net(make_error_code(errc::message_too_large)));
    return;
  }
  auto inbox = take_inbox();
  const std::uint64_t number = inbox->number = ++last_number_;
  // A copy is what is sent: the client can change its request meanwhile.
  call_message m(subject_, inbox->prefix + std::to_string(number), call.request());
  m.set(header::type, type_);
  if (call.deadline() != clock::time_point::max()) {
    const auto left = std::chrono::nanoseconds(call.deadline() - clock::now()).count();
    m.set(header::remaining, std::to_string(std::max<std::int64_t>(left, 0)));
  }
  m.set(header::hops, hops + (hops.empty() ? "" : ",") + text_of(segment_));
  if (const natsStatus s = m.publish(*connection_); s != NATS_OK) {
    call.requeue();  // the connection is being lost; another one will come
    serving_ = false;
    connection_->close(std::string("publish: ") + natsStatus_GetText(s));
    return;
  }
  passed_call& passed = calls_[number];
  passed.held = std::move(call);
  passed.inbox = std::move(inbox);
  counters_.outstanding.store(calls_.size(), std::memory_order_relaxed);
  passed.held.async_wait_cancelled(net::bind_executor(
      executor_, [self = std::static_pointer_cast<call_export_link>(shared_from_this()), number](const error_code& ec) {
        if (!ec) self->on_cancelled(number);
      }));
}

std::unique_ptr<call_export_link::reply_inbox> call_export_link::take_inbox() {
  if (!spare_.empty()) {
    auto inbox = std::move(spare_.back());
    spare_.pop_back();
    return inbox;
  }
  auto inbox = std::make_unique<reply_inbox>();
  inbox->prefix = connection_->new_inbox() + '.';
  inbox->listener = connection_->subscribe(inbox->prefix + '*', [this, at = inbox.get()](message_ptr m) {
    on_reply(*at, std::move(m));
  });
  return inbox;
}

// ---- answers

void call_export_link::on_reply(const reply_inbox& inbox, message_ptr m) {
  const auto at = calls_.find(inbox.number);
  if (at == calls_.end()) return;
  if (!m) {
    if (at->second.far.empty()) {
      byte_call call = take(at, true);
      not_served("no server takes the calls of " + subject_);
      call.requeue();
    } else {
      drop(take(at, false));  // the bridge that had it is gone
    }
    return ended_one();
  }
  std::uint64_t number = 0;
  if (!parse_number(subject_of(m.get()).substr(inbox.prefix.size()), number) || number != inbox.number) return;
  const std::string_view outcome = header_of(m.get(), header::outcome);
  if (outcome.empty()) return;
  if (outcome == call_outcome::working) {
    at->second.silent = 0;
    at->second.far = reply_of(m.get());
    return;
  }
  answer(at, m.get());
  ended_one();
}

void call_export_link::answer(passed_calls::iterator at, natsMsg* m) {
  byte_call call = take(at, true);
  const std::string_view outcome = header_of(m, header::outcome);
  if (outcome == call_outcome::reply) return reply(std::move(call), m);
  if (outcome.starts_with(call_outcome::refused)) {
    call.fail(to_net(refusal_in(outcome)));
    pause_time_ = 0ms;
    add(counters_.messages);
    return;
  }
  if (outcome == call_outcome::no_server || outcome == call_outcome::not_started || outcome == call_outcome::overloaded) {
    add(counters_.repeated);
    if (outcome == call_outcome::no_server) not_served("no server takes the calls of " + subject_);
    if (outcome == call_outcome::overloaded) slow_down();
    call.requeue();
    return;
  }
  if (outcome != call_outcome::deadline_exceeded) drop(std::move(call));  // maybe-executed, or a word that this bridge does not know
}

void call_export_link::reply(byte_call call, natsMsg* m) {
  const std::span<const std::byte> bytes = bytes_of(m);
  const bool exact = server_->info().value_bytes != 0;
  if (exact ? bytes.size() != call.max_reply() : bytes.size() > call.max_reply()) {
    tell(nats_event::kind::refused, "a reply of " + std::to_string(bytes.size()) + " bytes: " +
                                        (exact ? "it must have " : "at most ") + std::to_string(call.max_reply()));
    call.fail(to_net(make_error_code(errc::protocol_error)));
    return;
  }
  if (!call.reply(bytes)) return;  // its client no longer waits
  pause_time_ = 0ms;
  add(counters_.messages);
  add(counters_.bytes, bytes.size());
}

byte_call call_export_link::take(passed_calls::iterator at, bool done) {
  byte_call call = std::move(at->second.held);
  (done && !at->second.inbox->looked ? spare_ : retired_).push_back(std::move(at->second.inbox));
  calls_.erase(at);
  return call;
}

/// Its client no longer waits. Without its inbox, the bridge that has it finds that, or is told.
void call_export_link::on_cancelled(std::uint64_t number) {
  const auto at = calls_.find(number);
  if (at == calls_.end()) return;
  if (!at->second.far.empty() && connection_) connection_->publish(at->second.far.c_str(), cancel_call);
  const byte_call dropped = take(at, false);
  retired_.clear();
  ended_one();
}

void call_export_link::drop(byte_call call) {
  ++unknown_;
  add(counters_.lost);
  call = byte_call();
}

void call_export_link::slow_down() { pause_time_ = std::clamp(2 * pause_time_, 1ms, 64ms); }

void call_export_link::look_at_calls() {
  retired_.clear();
  const auto now = clock::now();
  if (now - last_look_ < between_looks) return;
  last_look_ = now;
  std::vector<std::uint64_t> silent;
  for (auto& [number, call] : calls_) {
    if (++call.silent > most_silent_looks) {
      silent.push_back(number);
    } else if (!call.far.empty()) {
      const std::string reply = call.inbox->prefix + std::to_string(number);
      call.inbox->looked = true;
      connection_->publish_request(call.far.c_str(), reply.c_str(), look_for_call);
    }
  }
  for (const std::uint64_t number : silent)
    if (const auto at = calls_.find(number); at != calls_.end()) drop(take(at, false));
  if (unknown_ != 0)
    tell(nats_event::kind::lost, std::to_string(unknown_) + " calls were lost with a bridge or server that had them: "
                                                            "whether they were executed is not known");
  unknown_ = 0;
  ended_one();
}

void call_export_link::ended_one() {
  counters_.outstanding.store(calls_.size(), std::memory_order_relaxed);
  if (calls_.size() + 1 == options_.outstanding_messages) may_accept_.notify();
  if (!stopping_ || !calls_.empty()) return;
  net::post(executor_, [self = shared_from_this()] { self->end(nats_event::kind::drained); });
}

}  // namespace belfry::detail::nats
