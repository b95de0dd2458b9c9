#include "streams.hpp"

#include "text.hpp"

#include <algorithm>
#include <cstring>
#include <iostream>
#include <stdexcept>

namespace belfry::cli {
namespace {

detail::unique_handle opened(const std::string& path) {
  if (path.empty()) return {};
  detail::failure f;
  detail::unique_handle file = platform::open_input(path, f);
  if (f) f.raise();
  return file;
}

}  // namespace

stream_wait::stream_wait(net::io_context& io, native_handle_type stream, platform::stream_event event) : ready_(io) {
  detail::failure f;
  detail::unique_handle handle = platform::readiness_of(stream, event, f);
  if (f) f.raise();
  if (handle) ready_.assign(handle.release());
}

net::awaitable<error_code> stream_wait::wait() {
  error_code ec;
  co_await ready_.async_wait(net::posix::stream_descriptor::wait_read, net::redirect_error(net::use_awaitable, ec));
  co_return ec;
}

void stream_wait::cancel() {
  if (ready_.is_open()) ready_.cancel();
}

output::output(net::io_context& io)
    : io_(io),
      standard_(std::cout.rdbuf(this)),
      writable_(io, platform::standard_output, platform::stream_event::writable),
      gone_(io, platform::standard_output, platform::stream_event::hung_up) {}

output::~output() { std::cout.rdbuf(standard_); }

std::streamsize output::xsputn(const char* text, std::streamsize size) {
  pending_.append(text, static_cast<std::size_t>(size));
  return size;
}

output::int_type output::overflow(int_type c) {
  if (c != traits_type::eof()) pending_ += traits_type::to_char_type(c);
  return traits_type::not_eof(c);
}

net::awaitable<bool> output::flush() {
  if (!writable_.is_needed()) co_await net::post(io_, net::use_awaitable);  // other handlers have to run, too
  std::string_view rest = pending_;
  error_code ec;
  while (!rest.empty() && !ec) {
    if (writable_.is_needed()) ec = co_await writable_.wait();
    if (ec) break;
    detail::failure f;
    const std::string_view some = writable_.is_needed() ? rest.substr(0, platform::atomic_bytes) : rest;
    rest.remove_prefix(platform::write_some(platform::standard_output, some, f));
    if (f && f.code != std::errc::broken_pipe) f.raise();
    if (f) ec = net::error::broken_pipe;
  }
  pending_.erase(0, pending_.size() - rest.size());
  co_return !ec;
}

void output::cancel() {
  writable_.cancel();
  gone_.cancel();
}

input::input(net::io_context& io, const std::string& path)
    : io_(io),
      file_(opened(path)),
      handle_(file_ ? file_.get() : platform::standard_input),
      size_(platform::size_of_file(handle_)),
      readable_(io, handle_, platform::stream_event::readable),
      buffer_(64 << 10) {}

net::awaitable<bool> input::read_more() {
  if (begin_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  error_code ec;
  if (readable_.is_needed())
    ec = co_await readable_.wait();
  else
    co_await net::post(io_, net::use_awaitable);
  if (ec || cancelled_) {
    begin_ = end_ = 0;
    co_return false;
  }
  detail::failure f;
  const std::size_t n = platform::read_some(handle_, std::span(buffer_).subspan(end_), f);
  if (f) f.raise();
  end_ += n;
  co_return n != 0;
}

net::awaitable<std::optional<std::string_view>> input::line(std::size_t most) {
  for (std::size_t looked_at = 0;;) {
    const std::string_view there(buffer_.data() + begin_, end_ - begin_);
    std::size_t length = there.find('\n', looked_at);
    bool more = false;
    if (length == std::string_view::npos) {
      looked_at = there.size();
      if (there.size() <= most) more = co_await read_more();
      if (more) continue;
      if (begin_ == end_) co_return std::nullopt;
      length = end_ - begin_;
    }
    if (length > most) throw std::length_error("longer than " + plural(most, "byte"));
    const std::string_view line(buffer_.data() + begin_, length);
    const std::size_t whole = std::min(length + 1, end_ - begin_);
    begin_ += whole;
    taken_ += whole;
    co_return line;
  }
}

net::awaitable<std::string_view> input::bytes(std::size_t count) {
  while (end_ - begin_ < count) {
    const bool more = co_await read_more();
    if (!more) break;
  }
  const std::string_view some(buffer_.data() + begin_, std::min(count, end_ - begin_));
  begin_ += some.size();
  taken_ += some.size();
  co_return some;
}

void input::cancel() {
  cancelled_ = true;
  readable_.cancel();
}

}  // namespace belfry::cli
