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

output::output(net::io_context& io)
    : io_(io),
      standard_(std::cout.rdbuf(this)),
      stream_(io, platform::standard_output(), stream::use::output) {}

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
  if (!stream_.waits()) co_await net::post(io_, net::use_awaitable);  // other handlers have to run, too
  bool ended = false;
  detail::failure f;
  std::size_t done = 0;
  while (done != pending_.size() && !ended) {
    const std::string_view rest = std::string_view(pending_).substr(done);
    std::size_t n = 0;
    if (stream_.waits())
      n = co_await stream_.write_some(rest, f);
    else
      n = platform::write_some(platform::standard_output(), rest, f);
    ended = n == 0;
    done += n;
  }
  pending_.erase(0, done);
  written_ += done;
  while (!ends_.empty() && ends_.front() <= written_) ends_.pop_front();
  if (f && f.code != std::errc::broken_pipe) f.raise();
  co_return !ended;
}

void output::cancel() { stream_.cancel(); }

input::input(net::io_context& io, const std::string& path)
    : io_(io),
      file_(opened(path)),
      handle_(file_ ? file_.get() : platform::standard_input()),
      size_(platform::size_of_file(handle_)),
      stream_(io, handle_, stream::use::input),
      buffer_(64 << 10) {}

net::awaitable<bool> input::read_more() {
  if (begin_ != 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) buffer_.resize(2 * buffer_.size());
  if (!stream_.waits()) co_await net::post(io_, net::use_awaitable);
  const std::span<char> room = std::span(buffer_).subspan(end_);
  detail::failure f;
  std::size_t n = 0;
  if (!cancelled_) {
    if (stream_.waits())
      n = co_await stream_.read_some(room, f);
    else
      n = platform::read_some(handle_, room, f);
  }
  if (f) f.raise();
  if (cancelled_) {
    begin_ = end_ = 0;
    co_return false;
  }
  end_ += n;
  read_ += n;
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
  stream_.cancel();
}

}  // namespace belfry::cli
