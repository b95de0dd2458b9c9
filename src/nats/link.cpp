#include "link.hpp"

#include "bridge.hpp"
#include "description.hpp"
#include "jetstream.hpp"

#include <charconv>
#include <cstring>
#include <utility>

namespace belfry::detail::nats {

segment_number number_of(const std::array<std::byte, 16>& segment_id) noexcept {
  segment_number n = 0;
  std::memcpy(&n, segment_id.data(), sizeof n);
  return n;
}

std::string text_of(segment_number n) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- != 0; n >>= 4) text[i] = digits[n & 15];
  return text;
}

bool parse_number(std::string_view text, std::uint64_t& out) noexcept {
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
  return ec == std::errc() && end == text.data() + text.size();
}

message_id message_id::parse(std::string_view text) noexcept {
  message_id id;
  if (text.size() < 18 || text[16] != '-') return id;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + 16, id.segment, 16);
  id.has_segment = ec == std::errc() && end == text.data() + 16;
  id.has_position = id.has_segment && parse_number(text.substr(17, text.find('/') - 17), id.position);
  return id;
}

bool message_part::parse(std::string_view text, message_part& out) noexcept {
  const std::size_t first = text.find('/');
  const std::size_t second = first == text.npos ? first : text.find('/', first + 1);
  return second != text.npos && parse_number(text.substr(0, first), out.number) &&
         parse_number(text.substr(first + 1, second - first - 1), out.count) && parse_number(text.substr(second + 1), out.bytes) &&
         out.number < out.count && out.count <= out.bytes;
}

std::string text_of(const message_part& p) {
  return std::to_string(p.number) + '/' + std::to_string(p.count) + '/' + std::to_string(p.bytes);
}

std::uint64_t step_of(bool bytes, std::size_t size) noexcept { return bytes ? 8 + (size + 7) / 8 * 8 : 1; }

ring_class class_of(std::string_view kind) noexcept {
  if (kind == "spsc_ring" || kind == "byte_ring") return ring_class::ordered;
  if (kind == "work_ring" || kind == "byte_work_ring") return ring_class::work;
  if (kind == "broadcast_ring" || kind == "byte_broadcast_ring") return ring_class::broadcast;
  if (kind == "latest") return ring_class::latest;
  if (kind == "call_ring") return ring_class::calls;
  return ring_class::unknown;
}

link::link(bridge& owner, std::string channel, std::string subject, bool exports)
    : owner_(owner),
      executor_(owner.strand()),
      channel_(std::move(channel)),
      subject_(std::move(subject)),
      exports_(exports) {}

nats_statistics link::statistics() const {
  constexpr const char* names[] = {"waiting", "running", "full", "failed", "drained"};
  const auto value = [](const counter& c) { return c.load(std::memory_order_relaxed); };
  nats_statistics s;
  s.channel = channel_;
  s.subject = subject_;
  s.exports = exports_;
  s.state = names[static_cast<int>(counters_.state.load(std::memory_order_relaxed))];
  s.messages = value(counters_.messages);
  s.bytes = value(counters_.bytes);
  s.outstanding = value(counters_.outstanding);
  s.repeated = value(counters_.repeated);
  s.duplicates = value(counters_.duplicates);
  s.missing = value(counters_.missing);
  s.lost = value(counters_.lost);
  const std::lock_guard lock(ring_mutex_);
  s.ring = ring_;
  return s;
}

void link::set_ring(std::string kind) {
  const std::lock_guard lock(ring_mutex_);
  ring_ = std::move(kind);
}

void link::tell(nats_event::kind what, std::string text) {
  told_.clear();
  owner_.tell({what, channel_, subject_, exports_, std::move(text)});
}

void link::tell_waiting(const std::string& text) {
  if (told_ == text) return;
  set(state::waiting);
  tell(nats_event::kind::waiting, text);
  told_ = text;
}

void link::connected(std::shared_ptr<connection> c) {
  if (over_ || connection_ == c) return;
  connection_ = c;
  spawn(&link::session, std::move(c));
}

void link::disconnected() {
  connection_.reset();
  if (is(state::running) || is(state::full)) set(state::waiting);
  session_ended();
}

void link::finish() {
  over_ = true;
  connection_.reset();
  session_ended();
  leave();
}

void link::end(nats_event::kind how, std::string text) {
  if (over_) return;
  set(how == nats_event::kind::drained ? state::drained : state::failed);
  finish();
  tell(how, std::move(text));
  owner_.ended(*this);
}

void link::fail(std::exception_ptr why) {
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& e) {
    end(nats_event::kind::failed, e.what());
  }
}

void link::retire() {
  if (!over_) finish();
}

net::awaitable<link::step> link::learn(std::shared_ptr<connection> c, subject_description& said) {
  const auto r = co_await read_description(c, subject_, said);
  if (!uses(c) || stopping_) co_return step::over;
  if (const step s = answer_to(r, "what " + subject_ + " is"); s != step::done) co_return s;
  if (!said.found) {
    tell_waiting("nothing is exported to " + subject_ + " yet");
    co_return step::again;
  }
  if (!said.valid) {
    end(nats_event::kind::failed, "the description of " + subject_ + " is damaged");
    co_return step::over;
  }
  co_return step::done;
}

link::step link::answer_to(const connection::api_reply& r, const std::string& what) {
  if (r.ok()) return step::done;
  const std::string text = what + ": " + r.text;
  if (!may_pass(r)) {
    end(nats_event::kind::failed, text);
    return step::over;
  }
  tell_waiting(text);
  return step::again;
}

bool link::is_loop(const std::string& hops, segment_number own) {
  if (hops.find(text_of(own)) != std::string::npos) {
    end(nats_event::kind::failed, "a loop: what comes from " + subject_ + " has left this channel before");
    return true;
  }
  if (hops != hops_) {
    hops_ = hops;
    owner_.set_hops_into(channel_, hops);
  }
  return false;
}

}  // namespace belfry::detail::nats
