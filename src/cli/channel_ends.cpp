#include "channel_ends.hpp"

#include "text.hpp"

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace belfry::cli {
namespace {

void tell(const std::string& name, const std::string& what) { complain('"' + name + "\": " + what); }

channel_options joining_from(start where) {
  channel_options options;
  options.start = where;
  return options;
}

}  // namespace

receiver::receiver(net::io_context& io, const receiver_options& options)
    : options_(options),
      rx_(io, options.name, joining_from(options.oldest ? start::oldest : start::newest)),
      limit_(io, options.timeout, [this] { rx_.cancel(); }),
      buffer_(info().value_bytes != 0 ? info().value_bytes : 64 << 10) {}

receiver::~receiver() { tell_losses({}); }

std::optional<std::span<const std::byte>> receiver::try_next() {
  const std::optional<std::size_t> size = rx_.try_receive(buffer_);
  if (!size) return std::nullopt;
  return std::span<const std::byte>(buffer_).first(*size);
}

std::optional<std::span<const std::byte>> receiver::try_next_dead() {
  if (buffer_.size() < info().message_bytes) buffer_.resize(info().message_bytes);
  const std::optional<std::size_t> size = rx_.try_receive_dead(buffer_);
  if (!size) return std::nullopt;
  return std::span<const std::byte>(buffer_).first(*size);
}

net::awaitable<std::optional<std::span<const std::byte>>> receiver::next() {
  limit_.begin();
  while (!stopped_) {
    const auto [ec, size] = co_await rx_.async_receive(net::buffer(buffer_), as_result);
    if (!ec) {
      limit_.end();
      co_return std::span<const std::byte>(buffer_).first(size);
    }
    const bool more = co_await go_on_after(ec);
    if (!more) break;
  }
  limit_.end();
  co_return std::nullopt;
}

net::awaitable<bool> receiver::go_on_after(error_code ec) {
  if (limit_.has_expired()) throw std::runtime_error("nothing came through \"" + options_.name + "\" " + limit_.text());
  if (stopped_) co_return false;
  // It is still in the ring, and no larger than the segment.
  if (ec == errc::message_too_large && buffer_.size() < info().bytes) {
    buffer_.resize(std::min<std::size_t>(2 * buffer_.size(), info().bytes));
    co_return true;
  }
  if (ec == errc::lagged) {
    tell_losses(std::chrono::seconds(1));
    co_return true;
  }
  if (ec != errc::closed && ec != errc::peer_died)
    throw std::system_error(detail::from_net(ec), "receive from \"" + options_.name + '"');
  const bool died = ec == errc::peer_died;
  const bool others = died && rx_.has_peer();
  const bool ends = options_.until_closed && !others;
  tell(options_.name, std::string(died ? "a producer was killed" : "the producer has left") +
                          (ends || others ? "" : "; waiting for the next one"));
  if (ends) {
    abandoned_ = died;
    co_return false;
  }
  co_await rx_.async_wait_peer(as_result);
  if (limit_.has_expired()) throw std::runtime_error("no producer of \"" + options_.name + "\" came " + limit_.text());
  co_return !stopped_;
}

void receiver::tell_losses(std::chrono::nanoseconds pause) {
  const auto now = std::chrono::steady_clock::now();
  const std::uint64_t lost = rx_.total_lost();
  if (lost == told_ || now - told_at_ < pause) return;
  tell(options_.name, plural(lost - std::exchange(told_, lost), "value") + " overwritten, and not received");
  told_at_ = now;
}

std::uint64_t receiver::new_losses() { return rx_.total_lost() - std::exchange(lost_, rx_.total_lost()); }

void receiver::stop() {
  stopped_ = true;
  rx_.cancel();
}

sender::sender(net::io_context& io, const std::string& name, double timeout)
    : name_(name), tx_(io, name), limit_(io, timeout, [this] { tx_.cancel(); }) {}

net::awaitable<bool> sender::send(std::span<const std::byte> message) {
  limit_.begin();
  while (!stopped_) {
    const auto [ec] = co_await tx_.async_send(net::buffer(message.data(), message.size()), as_result);
    if (!ec) {
      limit_.end();
      co_return true;
    }
    co_await wait_for_consumer(ec);
  }
  limit_.end();
  co_return false;
}

net::awaitable<bool> sender::wait_for_room() {
  limit_.begin();
  while (!stopped_) {
    const auto [ec] = co_await tx_.async_wait(as_result);
    if (!ec) {
      limit_.end();
      co_return true;
    }
    co_await wait_for_consumer(ec);
  }
  limit_.end();
  co_return false;
}

net::awaitable<void> sender::wait_for_consumer(error_code ec) {
  if (stopped_) co_return;
  if (ec == errc::closed || ec == errc::peer_died) {
    tell(name_, std::string("it is full, and ") + (ec == errc::closed ? "has no consumer" : "a consumer was killed") +
                    (tx_.has_peer() ? "" : "; waiting for the next one"));
    co_await tx_.async_wait_peer(as_result);
  }
  if (limit_.has_expired()) throw std::runtime_error("no room in \"" + name_ + "\" " + limit_.text());
  if (ec == errc::message_too_large) throw std::length_error("larger than any message in \"" + name_ + "\" can be");
  if (ec != errc::closed && ec != errc::peer_died)
    throw std::system_error(detail::from_net(ec), "send to \"" + name_ + '"');
}

void sender::stop() {
  stopped_ = true;
  tx_.cancel();
}

}  // namespace belfry::cli
