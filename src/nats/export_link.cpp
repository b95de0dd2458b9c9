#include "export_link.hpp"

#include "bridge.hpp"
#include "call_export_link.hpp"
#include "jetstream.hpp"

#include <belfry/detail/segment/described_channel.hpp>
#include <belfry/inspect.hpp>

#include <algorithm>
#include <iterator>
#include <random>
#include <span>
#include <utility>

namespace belfry::detail::nats {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_buffered = 1 << 20;
constexpr std::size_t header_bytes = 400;  // of a message: what its headers take at most, without hops

/// A cluster of servers knows a message's id before a majority has the message. If a leader loses its followers meanwhile,
/// it may answer that the message is a duplicate, of number 0, and lose it nevertheless.
bool is_only_known(std::string_view answer) {
  return answer.find("\"duplicate\"") != std::string_view::npos && sequence_in(answer) == 0;
}

}  // namespace

export_link::export_link(bridge& owner, std::string channel, std::string subject, nats_export_options options)
    : link(owner, std::move(channel), std::move(subject), true),
      options_(std::move(options)),
      joined_(executor_),
      room_(executor_),
      settled_(executor_),
      pause_(executor_),
      tick_(executor_),
      retry_(executor_) {
  std::random_device entropy;
  instance_ = text_of(std::uint64_t{entropy()} << 32 | entropy()) + '.';
}

void export_link::begin() { spawn(&export_link::read); }

void export_link::stop() {
  stopping_ = true;
  if (rx_) rx_->cancel();
  room_.notify();
  retry_.notify();
  if (window_.empty()) end(nats_event::kind::drained);
}

void export_link::leave() {
  rx_.reset();
  window_.clear();
  for (signal* const s : {&joined_, &room_, &retry_}) s->notify();
}

void export_link::session_ended() {
  answers_.reset();
  former_answers_.reset();
  running_ = false;
  unanswered_ = 0;
  for (signal* const s : {&joined_, &settled_, &pause_, &tick_}) s->notify();
}

// ---- from the ring

net::awaitable<void> export_link::read() {
  const bool there = co_await join();
  if (!there) co_return;
  joined_.notify();
  while (!stopping_ && !is_over()) {
    if (!has_room()) {
      waits_for_room_ = true;
      co_await room_.wait();
      waits_for_room_ = false;
      continue;
    }
    const auto position = rx_->position();
    any_channel::consumer::lease_type held = rx_->try_receive_lease(scratch_);
    if (!held) {
      auto [ec, l] = co_await rx_->async_receive_lease(net::buffer(scratch_), as_result);
      if (is_over()) co_return;
      if (ec) {
        const bool more = co_await go_on_after(ec);
        if (!more) co_return;
        continue;
      }
      held = std::move(l);
    }
    add_value(std::move(held), position);
  }
}

net::awaitable<bool> export_link::join() {
  while (!stopping_ && !is_over()) {
    std::string why;
    try {
      channel_options o;
      o.mode = options_.mode;
      rx_.emplace(executor_, channel_, o);
    } catch (const std::system_error& e) {
      error_code gone;
      const channel_info found = inspect(channel_, gone, inspection::counters);
      if (e.code() == errc::incompatible && class_of(found.kind) == ring_class::calls) {
        owner_.replace(*this, std::make_shared<call_export_link>(owner_, channel_, subject_, options_));
        co_return false;
      }
      if (e.code() == errc::incompatible || e.code() == std::errc::invalid_argument) {
        end(nats_event::kind::failed, e.what());
        co_return false;
      }
      why = e.code() == std::errc::no_such_file_or_directory ? "there is no channel \"" + channel_ + "\" yet" : e.what();
    }
    if (rx_) {
      const channel_info& info = rx_->info();
      kind_ = class_of(info.kind);
      bytes_ = info.value_bytes == 0;
      segment_ = number_of(info.id);
      set_ring(info.kind);
      const bool key = kind_ == ring_class::latest;
      stream_ = (key ? bucket_stream_prefix : "") + options_.stream;
      target_ = key ? bucket_subject_prefix + options_.stream + '.' + subject_ : subject_;
      scratch_.resize(info.value_bytes != 0 ? info.value_bytes : 64 << 10);
      failure f;
      description_ = describe_channel(channel_, f);
      if (f || kind_ == ring_class::unknown) {
        end(nats_event::kind::failed, f ? f.what : "a " + info.kind + " cannot be exported");
        co_return false;
      }
      co_return true;
    }
    tell_waiting(why);
    co_await retry_.wait_for(200ms);
  }
  co_return false;
}

net::awaitable<bool> export_link::go_on_after(error_code ec) {
  if (stopping_ || is_over() || ec == net::error::operation_aborted) co_return false;
  const std::size_t most = rx_->info().bytes;
  if (ec == errc::message_too_large && scratch_.size() < most) {
    scratch_.resize(std::min<std::size_t>(2 * scratch_.size(), most));
    co_return true;
  }
  if (ec == errc::lagged) {
    add(counters_.lost, rx_->lost());
    tell(nats_event::kind::lost, std::to_string(rx_->lost()) + " values were overwritten before they were exported");
    co_return true;
  }
  if (ec == errc::closed || ec == errc::peer_died) {
    tell(nats_event::kind::peer, ec == errc::closed ? "the producer has left" : "a producer was killed");
    if (!rx_->has_peer()) co_await rx_->async_wait_peer(as_result);
    co_return !stopping_ && !is_over();
  }
  end(nats_event::kind::failed, "receive: " + ec.message());
  co_return false;
}

bool export_link::has_room() const noexcept {
  if (kind_ == ring_class::latest) return window_.empty();
  if (!has_stream() && (!connection_ || !running_)) return false;  // it would be lost
  return window_.size() < options_.outstanding_messages && window_bytes_ < options_.outstanding_bytes;
}

void export_link::add_value(any_channel::consumer::lease_type held, std::optional<std::uint64_t> position) {
  if (position && stored_before_ && *position < *stored_before_) {  // by this bridge's predecessor
    add(counters_.duplicates);
    held.ack();
    return;
  }
  entry e;
  if (!spare_.empty()) {
    e.data = std::move(spare_.back());
    spare_.pop_back();
  }
  e.data.assign(held.value().begin(), held.value().end());
  e.deliveries = std::max(held.deliveries(), 1u);
  e.held = std::move(held);
  e.id = text_of(segment_) + '-';
  e.id += position ? std::to_string(*position) : instance_ + std::to_string(first_ + window_.size());
  window_bytes_ += e.data.size();
  window_.push_back(std::move(e));
  counters_.outstanding.store(window_.size(), std::memory_order_relaxed);
  pump();
}

std::size_t export_link::most_data() const {
  const std::size_t most = connection_->max_payload();
  return most - std::min(most, header_bytes + owner_.hops_into(channel_).size());
}

bool export_link::goes_in_parts(const entry& e) const {
  const bool may = options_.split && kind_ == ring_class::ordered && e.part.count == 1 && most_data() != 0;
  return may && e.data.size() > most_data();
}

bool export_link::fits_into_stream(const entry& e) {
  if (!most_bytes_ && !most_messages_) return true;
  const bool is_part = e.part.count > 1;
  const std::uint64_t bytes = is_part ? e.part.bytes : e.data.size();
  const std::uint64_t messages = is_part || !goes_in_parts(e) ? e.part.count : (bytes - 1) / most_data() + 1;
  const auto refuse = [&](std::uint64_t most, const char* what) {
    end(nats_event::kind::failed, "a message of " + std::to_string(bytes) + " bytes, in " + std::to_string(messages) +
                                      (messages == 1 ? " part" : " parts") + ": the stream \"" + stream_ +
                                      "\" has room for " + std::to_string(most) + " in all (" + what + ')');
    return false;
  };
  if (most_bytes_ && bytes > *most_bytes_) return refuse(*most_bytes_, "max_bytes");
  if (most_messages_ && messages > *most_messages_) return refuse(*most_messages_, "max_msgs");
  return true;
}

/// Neither this entry nor one behind it has been sent on this connection: so no answer that is on its way counts from them.
/// The parts are of one size, but for the last one: so it is known from their number, which is in their ids. Another export
/// may cut the same value otherwise, for a server that takes larger messages or smaller ones; it has other ids.
void export_link::split(std::size_t index) {
  entry whole = std::move(window_[index]);
  const std::size_t size = whole.data.size();
  const std::size_t at_least = (size - 1) / most_data() + 1;
  const std::size_t each = (size - 1) / at_least + 1;
  message_part part{0, (size - 1) / each + 1, size};
  std::vector<entry> parts(part.count);
  for (entry& e : parts) {
    const std::size_t begin = part.number * each;
    const auto data = std::span(whole.data).subspan(begin, std::min(each, size - begin));
    e.data.assign(data.begin(), data.end());
    e.part = part;
    e.id = whole.id + '/' + instance_ + "/p" + std::to_string(part.number) + '.' + std::to_string(part.count);
    ++part.number;
  }
  parts.back().held = std::move(whole.held);
  window_[index] = std::move(parts.front());
  window_.insert(window_.begin() + static_cast<std::ptrdiff_t>(index) + 1, std::make_move_iterator(parts.begin() + 1),
                 std::make_move_iterator(parts.end()));
  counters_.outstanding.store(window_.size(), std::memory_order_relaxed);
}

// ---- to the server

void export_link::begin_run() {
  ++run_;
  unanswered_ = 0;
  next_ = 0;
  ahead_.reset();
  running_ = true;
  settling_ = false;
  last_answer_ = clock::now();
  if (has_stream()) {
    // A server that finds no stream for a message tells only its inbox, and not which message: so each run has an inbox.
    former_answers_ = std::move(answers_);
    answers_ = connection_->subscribe(answer_prefix_ + std::to_string(run_) + ".*",
                                      [this, run = run_](message_ptr m) { on_answer(run, std::move(m)); });
  }
  if (!is(state::running) && !is(state::full)) {
    set(state::running);
    tell(nats_event::kind::running, has_stream() ? "to the stream \"" + stream_ + '"' : "to the subject");
  }
  room_.notify();
  pump();
}

void export_link::pump() {
  while (running_ && next_ < window_.size()) {
    if (one_at_a_time() && unanswered_ != 0) return;
    if (!fits_into_stream(window_[next_])) return;
    if (goes_in_parts(window_[next_])) split(next_);
    entry& e = window_[next_];
    if (!e.stored) {
      if (!has_stream() && connection_->buffered() > most_buffered) {
        if (std::exchange(drains_socket_, true)) return;
        return spawn(&export_link::drain_socket, connection_);
      }
      if (!send(e, first_ + next_)) return;
    }
    ++next_;
    if (!has_stream()) {
      stored(e);
      release();
    }
  }
}

net::awaitable<void> export_link::drain_socket(std::shared_ptr<connection> c) {
  while (uses(c) && c->buffered() > most_buffered / 2) co_await pause_.wait_for(1ms);
  drains_socket_ = false;
  pump();
}

bool export_link::send(entry& e, std::uint64_t ordinal) {
  const std::string& hops = owner_.hops_into(channel_);
  const std::size_t most = connection_->max_payload();
  if (e.data.size() > most_data()) {
    end(nats_event::kind::failed, (e.part.count > 1 ? "a part, made when the server took more, of " : "a message of ") + std::to_string(e.data.size()) + " bytes: the server takes " +
                                      std::to_string(most) + ", of which the bridge needs up to " +
                                      std::to_string(header_bytes + hops.size()) + " for itself (max_payload)" +
                                      (options_.split && kind_ != ring_class::ordered ? "; only messages of an spsc_ring or byte_ring go in parts" : ""));
    return false;
  }
  if (replicated_ && kind_ != ring_class::broadcast && kind_ != ring_class::latest) renew(e);
  const std::string reply =
      has_stream() ? answer_prefix_ + std::to_string(run_) + '.' + std::to_string(ordinal) : std::string();
  natsMsg* raw = nullptr;
  natsStatus s = natsMsg_Create(&raw, target_.c_str(), reply.empty() ? nullptr : reply.c_str(),
                                reinterpret_cast<const char*>(e.data.data()), static_cast<int>(e.data.size()));
  const message_ptr m(raw);
  if (s == NATS_OK) s = natsMsgHeader_Set(raw, header::id, e.id.c_str());
  if (s == NATS_OK && is_chained() && ahead_)
    s = natsMsgHeader_Set(raw, header::after, std::to_string(*ahead_ + ordinal - 1).c_str());
  if (s == NATS_OK && e.part.count > 1) s = natsMsgHeader_Set(raw, header::part, text_of(e.part).c_str());
  // Sent again, it may have come the first time, though no acknowledgement has.
  const unsigned deliveries = e.deliveries + (kind_ == ring_class::work ? e.sent : 0);
  if (s == NATS_OK && deliveries > 1) s = natsMsgHeader_Set(raw, header::deliveries, std::to_string(deliveries).c_str());
  if (s == NATS_OK && !hops.empty()) s = natsMsgHeader_Set(raw, header::hops, hops.c_str());
  if (s == NATS_OK) s = connection_->publish(raw);
  if (s != NATS_OK) {
    running_ = false;  // the connection is being lost; another one will come
    connection_->close(std::string("publish: ") + natsStatus_GetText(s));
    return false;
  }
  if (e.sent++ != 0) add(counters_.repeated);
  if (has_stream() && unanswered_++ == 0) last_answer_ = clock::now();
  return true;
}

void export_link::on_answer(std::uint64_t run, message_ptr m) {
  const bool of_this_run = run == run_;
  if (!m && !of_this_run) return;
  last_answer_ = clock::now();
  if (of_this_run && unanswered_ != 0) --unanswered_;
  if (!m) {
    connection::api_reply r;
    r.code = 503;
    r.error = js_error::stream_not_found;
    r.text = "no stream takes the subject, or JetStream is not there";
    refuse(r);
  } else {
    const std::string_view to = subject_of(m.get());
    std::uint64_t ordinal = 0;
    if (!parse_number(to.substr(to.rfind('.') + 1), ordinal)) return;
    const std::string_view text = data_of(m.get());
    if (text.find("\"error\":{") != std::string_view::npos) {
      const auto error = connection::parse_reply(text);
      if (of_this_run && error.error == js_error::message_in_process) {
        send_anew(ordinal);
      } else if (of_this_run) {
        refuse(error);
      }
    } else if (kind_ != ring_class::broadcast && is_only_known(text)) {
      if (of_this_run) send_anew(ordinal);
    } else if (ordinal >= first_ && ordinal - first_ < window_.size()) {
      refusals_ = 0;
      if (of_this_run && is_chained() && !ahead_)
        if (const std::uint64_t number = sequence_in(text); number != 0) ahead_ = number - ordinal;
      entry& e = window_[ordinal - first_];
      if (!e.stored) {
        stored(e);
        release();
      }
    }
  }
  if (is_over()) return;
  if (unanswered_ == 0) settled_.notify();
  pump();
}

void export_link::refuse(const connection::api_reply& r) {
  if (!running_) return;  // those behind the first one
  if (r.error == js_error::message_too_large) return end(nats_event::kind::failed, "the stream refuses a message: " + r.text);
  if (r.error == js_error::wrong_last_sequence) {
    // After a run was cut, or a restart of the server, which has forgotten the last numbers. Again and again: others write.
    if (++refusals_ == 3) alone_ = true;
    return end_run(0ms, false);
  }
  if (!may_pass(r)) return end(nats_event::kind::failed, "the server refuses a message: " + r.text);
  if (!is(state::full)) {
    set(state::full);
    tell(nats_event::kind::full, r.text);
  }
  end_run(50ms * (1 << std::min(refusals_, 4u)), r.error == js_error::stream_not_found);
  ++refusals_;
}

/// Another id. If the server stores the value twice, then the import knows its position, or that it is a redelivery.
/// That of each replica which ids it knows is no help there: one that was started again has forgotten those of messages that
/// were removed. Then it stores what another one refuses, and their numbers differ by one.
void export_link::renew(entry& e) const {
  e.id.erase(std::min(e.id.find('/'), e.id.size()));
  e.id += '/' + instance_ + std::to_string(run_);
  if (e.part.count > 1) e.id += "/p" + std::to_string(e.part.number) + '.' + std::to_string(e.part.count);
}

/// Not stored, though its id is known.
void export_link::send_anew(std::uint64_t ordinal) {
  if (ordinal < first_ || ordinal - first_ >= window_.size()) return;
  entry& e = window_[ordinal - first_];
  if (e.stored) return;
  renew(e);
  connection::api_reply r;
  r.code = 503;
  r.text = "the server knows a message, but has not stored it";
  refuse(r);
}

void export_link::end_run(std::chrono::milliseconds pause, bool prepare_again) {
  running_ = false;
  if (std::exchange(settling_, true)) return;
  spawn(&export_link::settle, connection_, pause, prepare_again);
}

net::awaitable<void> export_link::settle(std::shared_ptr<connection> c, std::chrono::milliseconds pause,
                                         bool prepare_again) {
  const auto deadline = clock::now() + most_silence;
  while (uses(c) && unanswered_ != 0 && clock::now() < deadline) co_await settled_.wait_for(deadline - clock::now());
  if (uses(c) && pause != 0ms) co_await pause_.wait_for(pause);
  if (prepare_again) {
    const step s = co_await prepare_until_done(c);
    if (s != step::done) co_return;
  }
  if (!uses(c)) co_return;
  begin_run();
}

void export_link::stored(entry& e) {
  e.stored = true;
  if (e.part.is_last()) add(counters_.messages);
  add(counters_.bytes, e.data.size());
  if (is(state::full)) {
    set(state::running);
    tell(nats_event::kind::running, "there is room again");
  }
}

/// In order: an spsc_ring releases no value before the older ones.
void export_link::release() {
  while (!window_.empty() && window_.front().stored) {
    entry& e = window_.front();
    if (e.part.is_last()) e.held.ack();
    window_bytes_ -= e.data.size();
    if (spare_.size() < 64) spare_.push_back(std::move(e.data));
    window_.pop_front();
    ++first_;
    if (next_ != 0) --next_;
  }
  counters_.outstanding.store(window_.size(), std::memory_order_relaxed);
  if (stopping_ && window_.empty()) return end(nats_event::kind::drained);
  if (waits_for_room_ && window_.size() <= options_.outstanding_messages / 2) room_.notify();
}

}  // namespace belfry::detail::nats
