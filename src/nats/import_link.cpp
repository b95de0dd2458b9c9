#include "import_link.hpp"

#include "bridge.hpp"

#include <belfry/inspect.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>
#include <utility>

namespace belfry::detail::nats {

using namespace std::chrono_literals;

namespace {

constexpr std::chrono::nanoseconds pull_time = 30s;
constexpr std::size_t most_bytes = 8 << 20;       // of messages that are asked for, about
constexpr std::size_t most_unsolicited = 64 << 20;  // of a subject without a stream

}  // namespace

import_link::import_link(bridge& owner, std::string subject, std::string channel, nats_import_options options)
    : link(owner, std::move(channel), std::move(subject), false),
      options_(std::move(options)),
      inbox_name_("i" + text_of(hash_of(subject_ + ' ' + channel_))),
      came_(executor_),
      pause_(executor_),
      tick_(executor_) {}

void import_link::begin() { spawn(&import_link::push); }

/// What was not pushed is not acknowledged, and comes again.
void import_link::stop() {
  stopping_ = true;
  inbox_.clear();
  came_.notify();
  if (tx_) tx_->cancel();
  spawn(&import_link::confirm);
}

net::awaitable<void> import_link::confirm() {
  // The acknowledgements before it have arrived when this one is confirmed.
  bool confirmed = kind_ != ring_class::ordered;
  if (last_ && connection_) {
    const auto r = co_await connection_->request(std::string(reply_of(last_.get())), "+ACK", 2s);
    confirmed = r.how == connection::answer::came;
  }
  if (is_over()) co_return;
  tx_.reset();
  error_code gone;
  inspect(channel_, gone, inspection::counters);
  if (confirmed && mark_ && gone) mark_->remove();  // with the channel
  end(nats_event::kind::drained);
}

void import_link::leave() {
  tx_.reset();
  inbox_.clear();
  came_.notify();
}

void import_link::session_ended() {
  messages_.reset();
  inbox_.clear();
  inbox_bytes_ = 0;
  parts_.clear();
  wanted_ = 0;
  counters_.outstanding.store(0, std::memory_order_relaxed);
  for (signal* const s : {&pause_, &tick_}) s->notify();
}

// ---- from the server

std::uint64_t import_link::batch() const noexcept {
  const std::uint64_t size = std::max<std::uint64_t>(bytes_ ? average_ : tx_->info().value_bytes, 1);
  return std::clamp<std::uint64_t>(most_bytes / size, 8, std::max<std::uint64_t>(options_.batch, 8));
}

void import_link::ask_for_more() {
  if (stream_.empty() || stopping_ || !connection_ || !messages_) return;
  const std::uint64_t most = batch();
  if (wanted_ + inbox_.size() > most / 2) return;
  const std::uint64_t more = most - wanted_ - inbox_.size();
  const nlohmann::json body{{"batch", more}, {"expires", pull_time.count()}, {"idle_heartbeat", heartbeat.count()}};
  const std::string reply = pull_prefix_ + std::to_string(++asked_);
  connection_->publish_request(("$JS.API.CONSUMER.MSG.NEXT." + stream_ + '.' + consumer_).c_str(), reply.c_str(),
                               body.dump());
  wanted_ += more;
}

void import_link::on_message(const std::shared_ptr<connection>& c, message_ptr m) {
  if (!uses(c) || stopping_) return;
  last_heard_ = clock::now();
  heard_ = true;
  if (!m) {  // the consumer, or JetStream, is not there
    ends_session_ = true;
    return tick_.notify();
  }
  if (!stream_.empty()) {
    if (const std::string_view status = header_of(m.get(), "Status"); !status.empty() && m && reply_of(m.get()).empty())
      return on_status(status, m.get());
    const delivery d = delivery::parse(reply_of(m.get()));
    if (!d.valid) return;
    if (wanted_ != 0) --wanted_;
    if (kind_ == ring_class::ordered && d.consumer_sequence != next_consumer_sequence_++) {
      ends_session_ = true;  // one was lost on the way: begin again behind what is pushed
      return tick_.notify();
    }
  } else if (inbox_bytes_ + data_of(m.get()).size() > most_unsolicited) {
    add(counters_.lost);
    return;
  }
  const std::size_t size = data_of(m.get()).size();
  average_ = (average_ * 15 + size) / 16;
  inbox_bytes_ += size;
  inbox_.push_back(std::move(m));
  counters_.outstanding.store(inbox_.size(), std::memory_order_relaxed);
  if (inbox_.size() == 1) came_.notify();
}

void import_link::on_status(std::string_view status, natsMsg* m) {
  if (status == "100") return;  // a heartbeat
  std::uint64_t left = wanted_;
  std::uint64_t told = 0;
  if (parse_number(header_of(m, "Nats-Pending-Messages"), told)) left = std::min(told, wanted_);
  wanted_ -= left;
  const std::string_view why = header_of(m, "Description");
  if (status == "409" && why.find("Consumer Deleted") != std::string_view::npos) {
    consumer_gone_ = true;
    ends_session_ = true;
    return tick_.notify();
  }
  if (status != "404" && status != "408") {
    tell_waiting("the server ends the request: " + std::string(why));
    ends_session_ = true;
    return tick_.notify();
  }
  ask_for_more();
}

/// Messages that wait here for room are not to go to another machine.
void import_link::still_working() {
  for (const message_ptr& m : inbox_) connection_->publish(std::string(reply_of(m.get())).c_str(), "+WPI");
}

// ---- into the ring

net::awaitable<void> import_link::push() {
  while (!is_over() && !stopping_) {
    if (inbox_.empty() || !tx_) {
      co_await came_.wait();
      continue;
    }
    message_ptr m = std::move(inbox_.front());
    inbox_.pop_front();
    inbox_bytes_ -= std::min(inbox_bytes_, data_of(m.get()).size());
    co_await deliver(std::move(m));
    if (is_over() || stopping_) co_return;
    counters_.outstanding.store(inbox_.size(), std::memory_order_relaxed);
    ask_for_more();
  }
}

net::awaitable<void> import_link::deliver(message_ptr m) {
  const message_id id = message_id::parse(header_of(m.get(), header::id));
  const delivery d = delivery::parse(reply_of(m.get()));
  const std::string_view reply = reply_of(m.get());
  message_part part;
  if (const std::string_view text = header_of(m.get(), header::part); !text.empty()) {
    if (kind_ != ring_class::ordered || !id.has_position || !message_part::parse(text, part)) {
      end(nats_event::kind::failed, "a message whose part is \"" + std::string(text.substr(0, 64)) + '"');
      co_return;
    }
  }
  const std::size_t size = part.count > 1 ? part.bytes : data_of(m.get()).size();
  if (part.count > 1 && !fits(size)) co_return;
  if (id.has_segment) {
    std::string hops(header_of(m.get(), header::hops));
    if (!hops.empty()) hops += ',';
    if (is_loop(hops + text_of(id.segment), number_of(tx_->info().id))) co_return;
  }
  if (!header_of(m.get(), header::key_operation).empty()) {  // the key was removed
    acknowledge(reply);
    co_return;
  }
  if (!parts_.empty() && part.number == 0 && id.segment != parts_.id().segment) {
    tell(nats_event::kind::gap, "values are missing: of position " + std::to_string(parts_.id().position) +
                                    " some parts have come, and then values of another channel");
    const value_parts unfinished = std::exchange(parts_, {});
    for (const std::string& each : unfinished.replies()) acknowledge(each);
  }
  if (kind_ == ring_class::ordered && (parts_.empty() ? has_come(id, d, size) : is_marked(id))) {
    if (part.is_last()) add(counters_.duplicates);
    acknowledge(reply);
    co_return;
  }
  if (d.valid && kind_ != ring_class::ordered && kind_ != ring_class::work && d.stream_sequence <= last_sequence_) {
    acknowledge(reply);
    co_return;
  }
  std::uint64_t before = 1;
  if (kind_ == ring_class::work) {
    parse_number(header_of(m.get(), header::deliveries), before);
    const bool perhaps_again = d.valid && d.deliveries <= 1 && d.stream_sequence <= uncertain_to_;
    before = std::max<std::uint64_t>(before, 1) + (d.valid ? std::max<std::uint64_t>(d.deliveries, 1) - 1 : 0) + perhaps_again;
  }
  value_parts whole;
  if (part.count > 1 || !parts_.empty()) {
    switch (parts_.take(id, part, bytes_of(m.get()), reply)) {
      case value_parts::outcome::more: co_return;
      case value_parts::outcome::whole: whole = std::exchange(parts_, {}); break;
      case value_parts::outcome::again: acknowledge(reply); co_return;
      case value_parts::outcome::missing:  // the server has lost them, or a former import has had them, whose mark is gone
        if (part.is_last())
          tell(nats_event::kind::gap, "values are missing: part " + text_of(part) + " of position " + std::to_string(id.position) +
                                          " has come without the first one");
        acknowledge(reply);
        co_return;
      case value_parts::outcome::broken:
        end(nats_event::kind::failed, (part.count > 1 ? "part " + text_of(part) : "a message") + " of position " +
                                          std::to_string(id.position) + " has come, but the next part of position " +
                                          std::to_string(parts_.id().position) + " is missing");
        co_return;
    }
  }
  const std::span<const std::byte> value = whole.empty() ? bytes_of(m.get()) : std::span<const std::byte>(whole.data());
  const bool in_ring = co_await put(value, static_cast<unsigned>(std::min<std::uint64_t>(before - 1, 255)));
  if (!in_ring) co_return;
  if (kind_ == ring_class::ordered) mark(id, d, size);
  if (d.valid) last_sequence_ = d.stream_sequence;
  add(counters_.messages);
  add(counters_.bytes, size);
  if (whole.empty()) acknowledge(reply);
  for (const std::string& each : whole.replies()) acknowledge(each);
  last_ = std::move(m);
}

/// Whether a message of this size can be in the ring at all; else the link has ended.
bool import_link::fits(std::uint64_t size) {
  const channel_info& info = tx_->info();
  if (info.value_bytes != 0) {
    if (size == info.value_bytes) return true;
    end(nats_event::kind::failed, "a message of " + std::to_string(size) + " bytes, but a value of the channel has " +
                                      std::to_string(info.value_bytes));
    return false;
  }
  const std::uint64_t most = info.message_bytes != 0 ? info.message_bytes : info.bytes;
  if (size <= most) return true;
  end(nats_event::kind::failed, "a message of " + std::to_string(size) + " bytes, but the channel takes at most " +
                                    std::to_string(most));
  return false;
}

/// False: the link has ended, or ends. Nothing was pushed then.
net::awaitable<bool> import_link::put(std::span<const std::byte> value, unsigned deliveries) {
  if (!fits(value.size())) co_return false;
  const auto attempt = [&] {
    return kind_ == ring_class::work ? tx_->try_send(value, deliveries) : tx_->try_send(value);
  };
  while (!attempt()) {
    // A work_ring's item has its count: so wait, and try again. The other rings say what is wrong with the value.
    error_code ec;
    if (kind_ == ring_class::work) {
      std::tie(ec) = co_await tx_->async_wait(as_result);
    } else {
      std::tie(ec) = co_await tx_->async_send(value, as_result);
    }
    if (is_over() || !tx_) co_return false;
    if (!ec) {
      if (kind_ == ring_class::work) continue;
      co_return true;
    }
    if (stopping_ || ec == net::error::operation_aborted) co_return false;
    if (ec == errc::closed || ec == errc::peer_died) {
      tell(nats_event::kind::peer, ec == errc::closed ? "full, and there is no consumer" : "a consumer was killed");
      if (!tx_->has_peer()) co_await tx_->async_wait_peer(as_result);
      if (is_over() || stopping_) co_return false;
      continue;
    }
    end(nats_event::kind::failed, "send a message of " + std::to_string(value.size()) + " bytes: " + ec.message());
    co_return false;
  }
  co_return true;
}

/// Whether the value is in the ring, or was.
bool import_link::has_come(const message_id& id, const delivery& d, std::size_t size) {
  // By the value's own position. Not by its number in the stream: a server that was killed may have forgotten the last
  // numbers, and give them again, if their messages had been acknowledged and removed.
  const received_mark& m = mark_->get();
  const bool follows = id.has_position && id.segment == m.segment;
  if (!id.has_position && d.stream_sequence <= m.sequence) return true;
  if (!follows && is_marked(id)) return true;
  if (follows && id.position < m.next_position) {
    received_mark next = m;
    next.sequence = d.stream_sequence;
    mark_->set(next);
    return true;
  }
  if (!std::exchange(knows_last_push_, true)) {
    // The first new one since this bridge has begun: its predecessor may have pushed it, and then been killed.
    const std::uint64_t beyond = is_local(m) ? *tx_->position() - m.local_position : 0;
    if (beyond == step_of(bytes_, size)) {
      mark(id, d, size);
      return true;
    }
    if (beyond != 0) tell(nats_event::kind::gap, "another producer has sent into \"" + channel_ + '"');
  }
  if (follows && id.position > m.next_position) {
    add(counters_.missing);
    tell(nats_event::kind::gap, "values are missing: position " + std::to_string(id.position) + " follows " +
                                    std::to_string(m.next_position));
  }
  return false;
}

bool import_link::is_marked(const message_id& id) const noexcept {
  const received_mark& m = mark_->get();
  return id.has_position && ((id.segment == m.segment && id.position < m.next_position) ||
                             (id.segment == m.segment_before && id.position < m.next_position_before));
}

void import_link::mark(const message_id& id, const delivery& d, std::size_t size) {
  received_mark m = mark_->get();
  m.source = source_;
  m.sequence = d.stream_sequence;
  if (id.has_position) {
    if (m.segment != id.segment) {
      m.segment_before = m.segment;
      m.next_position_before = m.next_position;
      m.segment = id.segment;
    }
    m.next_position = id.position + step_of(bytes_, size);
  }
  set_local(m);
  mark_->set(m);
}

bool import_link::is_local(const received_mark& m) const noexcept {
  return std::memcmp(m.local_segment.data(), tx_->info().id.data(), sizeof m.local_segment) == 0;
}
void import_link::set_local(received_mark& m) const noexcept {
  std::memcpy(m.local_segment.data(), tx_->info().id.data(), sizeof m.local_segment);
  m.local_position = *tx_->position();
}

void import_link::acknowledge(std::string_view reply) {
  if (stream_.empty() || reply.empty() || !connection_) return;
  connection_->publish(std::string(reply).c_str(), "+ACK");
}

}  // namespace belfry::detail::nats
